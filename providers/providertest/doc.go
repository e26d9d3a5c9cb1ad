// Package providertest specifies, as tests, what an adapter must do. It also has a scripted
// upstream for the tests of everything that calls providers: a real HTTP server on loopback
// that responds as instructed.
package providertest
