package sqlite

import (
	"context"
	"time"

	"tallyroute/billing"
)

const (
	claimName = `INSERT INTO idempotency (key_id, name, fingerprint, request_id, state, expires_at)
VALUES (?1, ?2, ?3, ?4, 'running', ?5)
ON CONFLICT (key_id, name) DO UPDATE SET
  fingerprint = excluded.fingerprint, request_id = excluded.request_id, state = 'running', answer = NULL, object = '',
  expires_at = excluded.expires_at
WHERE expires_at <= ?6`
	selectClaim = `SELECT request_id, fingerprint, state, answer, object FROM idempotency WHERE key_id = ? AND name = ?`
	// markDone marks a claim as done in the transaction of its change. A request that makes
	// several changes may mark it several times.
	markDone = `UPDATE idempotency SET state = 'done', object = CASE state WHEN 'running' THEN ?4 ELSE object END, expires_at = ?5
WHERE key_id = ?1 AND name = ?2 AND request_id = ?3 AND state IN ('running', 'done')`
	keepAnswer  = `UPDATE idempotency SET state = ?4, answer = ?5, expires_at = ?6 WHERE key_id = ?1 AND name = ?2 AND request_id = ?3`
	forgetClaim = `DELETE FROM idempotency WHERE key_id = ? AND name = ? AND request_id = ? AND state = 'running'`
	// expireReplays deletes one limited batch and leaves the rest for the next run, so that
	// nobody waits long.
	expireReplays = `DELETE FROM idempotency WHERE rowid IN (SELECT rowid FROM idempotency WHERE expires_at <= ? ORDER BY expires_at ` +
		`LIMIT 5000)`
)

// Claim implements billing.Claims.
func (s *Store) Claim(ctx context.Context, c billing.Claim, now, until time.Time) (found *billing.Claimed, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		found = nil
		n, err := tx.exec(ctx, claimName, string(c.KeyID), c.Name[:], c.Fingerprint[:], c.RequestID, stamp(until), stamp(now))
		if err != nil || n == 1 {
			return err
		}
		var r billing.Claimed
		var fingerprint []byte
		if _, err := tx.row(ctx, selectClaim, []any{string(c.KeyID), c.Name[:]}, &r.RequestID, &fingerprint, &r.State,
			&r.Answer, &r.Object); err != nil {
			return err
		}
		if r.RequestID == c.RequestID && r.State == billing.ClaimRunning {
			return nil // an earlier call made the claim, but its reply was lost
		}
		copy(r.Fingerprint[:], fingerprint)
		found = &r
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// done marks the claims of changes as done. It returns billing.ErrClaimLost if a claim is no
// longer held.
func done(ctx context.Context, tx *session, notes []*billing.Change) error {
	for _, n := range notes {
		c := n.Claim
		if c == nil {
			continue
		}
		marked, err := tx.exec(ctx, markDone, string(c.KeyID), c.Name[:], c.RequestID, n.Object, stamp(c.Until))
		if err != nil {
			return err
		}
		if marked == 0 {
			return billing.ErrClaimLost
		}
	}
	return nil
}

// Keep implements billing.Claims.
func (s *Store) Keep(ctx context.Context, c billing.Claim, answer []byte, until time.Time) error {
	var blob any
	if answer != nil {
		blob = answer
	}
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		_, err := tx.exec(ctx, keepAnswer, string(c.KeyID), c.Name[:], c.RequestID, string(billing.StateOf(answer)), blob, stamp(until))
		return err
	})
}

// Forget implements billing.Claims.
func (s *Store) Forget(ctx context.Context, c billing.Claim) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		_, err := tx.exec(ctx, forgetClaim, string(c.KeyID), c.Name[:], c.RequestID)
		return err
	})
}

// ExpireClaims implements billing.Claims.
func (s *Store) ExpireClaims(ctx context.Context, now time.Time) (n int, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		gone, err := tx.exec(ctx, expireReplays, stamp(now))
		n = int(gone)
		return err
	})
	return n, err
}
