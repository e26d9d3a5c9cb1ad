// Package access is the record of who used which key from where: one entry for each
// request to the public listener, those that were refused included. Entries are gathered
// in memory and written in batches, never on the way of a request. It is no ledger: what
// there is no room for is dropped and counted, and entries may be erased.
package access
