// Package journal is an append-only log of opaque records in a directory on the
// local disk. It owns the files, their format (docs/adr/0013-journal.md) and what
// happens when the disk is full, fails, or the process dies; it does not know
// what a record means.
package journal
