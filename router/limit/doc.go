// Package limit owns how much one key, and all of them, may take from the process:
// attempts with wrong secrets, memory held by requests under way, heavy work done at
// once, and calls that are finished because their provider bills them although their
// client has left. Limits hold per process; what may be spent in a day or a month is
// decided elsewhere, by the ledger.
package limit
