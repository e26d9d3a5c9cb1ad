// Package connect has the configurations by which clients of other makers are pointed at a
// router. It prints them, and merges some into the files where they belong.
package connect
