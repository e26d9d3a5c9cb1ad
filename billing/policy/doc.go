// Package policy decides what a key may do: which models, providers, endpoints and
// features, how much in one request, from where, when, and under which conditions. A Policy
// is what an operator wrote for a team, a project or a key; each level narrows the one
// above. Rights are all the levels compiled, once, when the key is read. The package is
// pure: it uses no clock and no I/O, and knows nothing else about a key.
//
// The files, from the ground up; each uses only those above it:
//
//	pattern.go, hours.go, policy.go, condition.go  what is written
//	check.go, wider.go                             whether it can be meant
//	claims.go, guard.go                            conditions on the claims of identity tokens, and of grants
//	rights.go                                      what it allows
package policy
