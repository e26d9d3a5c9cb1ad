// Package alert decides which conditions are worth an alert, how to word it, and where to
// send it. It does no I/O.
package alert
