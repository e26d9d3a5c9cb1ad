// Package keys holds the commands about virtual keys: what they are, what they may do, who
// used them, and their life cycle.
package keys
