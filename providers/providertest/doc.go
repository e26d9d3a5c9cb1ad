// Package providertest says, as tests, what an adapter must do, and has a
// scripted upstream: a real HTTP server on loopback that answers as it is told,
// for the tests of everything that calls providers.
package providertest
