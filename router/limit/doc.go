// Package limit owns how much one key, and all of them, may take from the process:
// requests and tokens per minute, memory held by requests under way, and heavy work
// done at once. Limits hold per process; what may be spent in a day or a month is
// decided elsewhere, by the ledger.
package limit
