//go:build !linux

package main

// hideMemory does nothing on systems other than Linux.
func hideMemory() {}
