// Package cli holds what the commands of tallyroute share: how they reach the
// configuration, the database or a router, how they print lists, and how they exit.
//
// Its files, from the ground up: context.go (what a command may use, and its exit codes),
// https.go (how routers are called), store.go (this host's database), output.go (tables,
// CSV, JSON), ask.go (the admin API, of a router or of this host).
package cli
