// Package access is the access record: who used which key from where, with one entry for
// each request to the public listener, including refused ones. Entries are collected in
// memory and written in batches, never while a request waits. It isn't a ledger: entries
// for which there is no room are dropped and counted, and entries may be erased.
package access
