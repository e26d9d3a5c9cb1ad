// Package router runs one request from start to finish: whose it is, what it asks for, who can
// serve it, what it may cost, the calls, the answer, the bill. It knows no HTTP framework and
// no database; what it needs from other packages it declares as narrow interfaces.
//
// Each step takes the value that the previous one returned: accepted, planned, held, sent,
// *Answer. The files, from the bottom up; each uses only those above it in this list:
//
//	inbound.go, parts.go               what goes in and out
//	holds.go, router.go                the Router, its holds, limits of parts, and what it asks of keys
//	rights.go, accept.go               may it be answered?
//	plan.go                            by whom?
//	hold.go                            is it affordable, or somewhere cheaper?
//	send.go                            the calls
//	bill.go, stream.go, answer.go      the answer, and what it cost
//	complete.go                        the list of the steps
//	queries.go                         what else a key may ask
//
// Decisions and computations are made by packages without a clock or I/O: router/plan and
// router/meter.
package router
