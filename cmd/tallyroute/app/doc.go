// Package app puts a router together: a configuration goes in, a running service
// comes out. Everything is put together here and nothing is decided here; the
// packages below know nothing of each other beyond the layer table. What can change
// while it runs is in a snapshot, and a reload puts another in its place.
package app
