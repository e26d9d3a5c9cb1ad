// Package meter is the arithmetic between a request and the ledger: how much a request may use
// and so must be held, and what it did use in tokens, cost and rows. It is pure: whatever has
// to be looked up, counted or timed is passed to it.
//
// Its files, from the bottom up: meter.go, hold.go, usage.go, row.go, attempt.go.
package meter
