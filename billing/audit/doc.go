// Package audit is the audit log's hash chain: the hash of a record covers the record and
// the hash of the one before it, so that an altered, missing or moved record is detected; a
// signed checkpoint detects a log whose tail was cut off or that was rewritten as a whole.
// Stores keep the records, and billing/manage writes them.
package audit
