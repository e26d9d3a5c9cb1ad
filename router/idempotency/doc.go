// Package idempotency makes sure that a request which its client sends again, under the same
// Idempotency-Key, is answered once: the first to claim the key has the right to answer; later
// ones get the stored answer, or are told why there is none.
//
// What the database sees of a request does not reveal what was asked or answered to anyone who
// does not know the client's own key and what was asked.
package idempotency
