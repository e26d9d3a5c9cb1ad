// Package app puts a router together: a configuration goes in, a running service comes out.
// Everything is assembled here and nothing is decided here; the packages below know nothing
// of each other beyond what the layer table allows. Whatever can change at run time lives
// in a snapshot, and a reload replaces the snapshot.
//
// The files, from the ground up; each uses only those above it:
//
//	listen.go                           sockets, their certificates, and how long what ends may take
//	secrets.go, store.go                what a configuration leads to
//	channels.go                         who is told of what
//	catalogue.go                        providers, models, prices; what the organisation's rules ask of all that
//	ledger.go                           can it write down, and answer?
//	snapshot.go                         what is in force, and a plan without a router
//	service.go, keys.go, app.go         what stays, and how it is put together
//	reload.go, jobs.go                  what runs beside the requests
//	watch.go                            the same, of what is watched: alerts, keys, people
//	run.go                              from the start to the end
package app
