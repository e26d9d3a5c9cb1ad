// Package lease is the ledger's fast path. A process leases allowances from the
// budgets in the database, in blocks, and holds and settles in memory; every
// attempt and every settlement is in a local journal before it is acted on, and
// one background writer posts the rows, the counters and the leases together.
// It owns what of a lease is in use and what the journal's records mean; the
// budgets, the counters and what may be granted belong to the store.
package lease
