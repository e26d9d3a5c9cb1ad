// Package app puts a router together: a configuration goes in, a running service
// comes out. Everything is put together here and nothing is decided here; the
// packages below know nothing of each other beyond the layer table. What can change
// while it runs is in a snapshot, and a reload puts another in its place.
//
// The files, from the ground up; each uses only those above it:
//
//	listen.go, tls.go                   sockets, their certificates, and how long what ends may take
//	secrets.go, channels.go, destinations.go, store.go, catalogue.go  what a configuration leads to
//	ledger.go, ready.go                 can it write down, and answer?
//	keeper.go                           what managers of secrets keep, and what is told of it
//	setup.go                            what the organisation's rules ask of all that
//	snapshot.go, explain.go             what is in force, and a plan without a router
//	upstream.go                         where administrators work on providers
//	service.go, keys.go, login.go, app.go  what stays, and how it is put together
//	governance.go                       is it as the organisation's rules want?
//	reload.go, follow.go, jobs.go, tls_jobs.go, breakdowns.go, alerts.go  what runs beside the requests
//	anomalies.go, leavers.go, forward.go  the same, about what keys and people do
//	run.go                              from the start to the end
package app
