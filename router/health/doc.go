// Package health owns what is known about how targets and providers have been behaving, learnt
// from real traffic only: nothing is ever probed. It decides who may be called; who is called,
// and in which order, is decided elsewhere.
package health
