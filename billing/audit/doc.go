// Package audit is the audit log's chain: the hash of a record covers the record
// and the hash of the one before it, so that a record that is altered, missing or
// moved is found; a signed checkpoint finds a log whose tail was cut off or which
// was written anew as a whole. Stores keep the records, billing/manage writes them.
package audit
