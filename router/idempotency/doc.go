// Package idempotency has a request that its client sends again, under the same
// Idempotency-Key, answered once: the first to claim the key has the right to
// answer; the others get the answer that was kept, or are told why there is none.
//
// Nothing that the database sees of a request tells what was asked or answered to
// somebody who does not know the client's own key and what was asked.
package idempotency
