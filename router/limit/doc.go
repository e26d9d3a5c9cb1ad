// Package limit limits how much each key, and all keys together, may take from the process:
// attempts with wrong secrets, memory held by requests in progress, heavy work done at once,
// and calls that are finished because their provider bills them although their client has left.
// Limits apply per process; what may be spent in a day or a month is decided elsewhere, by the
// ledger.
package limit
