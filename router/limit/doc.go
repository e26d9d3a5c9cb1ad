// Package limit owns requests and tokens per minute: the arithmetic of one
// bucket, which is pure, and a bounded store of buckets. Limits hold per
// process; what may be spent in a day or a month is decided elsewhere, by the
// ledger.
package limit
