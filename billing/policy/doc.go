// Package policy decides what a key may do: which models, providers, endpoints and
// features, how much in one request, from where, when, and under which conditions. A
// Policy is what an operator wrote for a team, a project or a key; each narrows the one
// above. Rights are the three of them compiled, once, when the key is read. It is pure: it
// knows no clock and no I/O, and nothing of what else a key is.
//
// The files, from the ground up; each uses only those above it:
//
//	pattern.go, hours.go, policy.go, condition.go  what is written
//	check.go, wider.go                             whether it can be meant
//	claims.go, guard.go                            conditions on the claims of identity tokens, and of grants
//	rights.go                                      what it allows
package policy
