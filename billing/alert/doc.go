// Package alert decides what is worth telling whom: which conditions are alerts, in
// which words, and where they go. It reads and writes nothing.
package alert
