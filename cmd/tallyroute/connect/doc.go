// Package connect knows how third-party clients are pointed at a router. It prints the
// configuration for them, and merges it into the files of some.
package connect
