package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

// claimSQL claims a name that is free or whose claim has expired.
const claimSQL = `
INSERT INTO idempotency AS i (key_id, name, fingerprint, request_id, state, expires_at)
VALUES ($1, $2, $3, $4, 'running', $5)
ON CONFLICT (key_id, name) DO UPDATE SET
  fingerprint = excluded.fingerprint, request_id = excluded.request_id, state = 'running', answer = NULL, object = '',
  expires_at = excluded.expires_at
WHERE i.expires_at <= $6`

const claimedSQL = `SELECT request_id, fingerprint, state, answer, object FROM idempotency WHERE key_id = $1 AND name = $2`

// claims is the number of attempts at a name that keeps turning out taken, then free.
const claims = 4

// Claim implements billing.Claims.
func (s *Store) Claim(ctx context.Context, c billing.Claim, now, until time.Time) (found *billing.Claimed, err error) {
	err = s.on(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		for range claims {
			tag, err := conn.Exec(ctx, claimSQL, c.KeyID, c.Name[:], c.Fingerprint[:], c.RequestID, until, now)
			if err != nil {
				return err
			}
			if tag.RowsAffected() == 1 {
				found = nil
				return nil
			}
			found, err = claimed(ctx, conn, c)
			if !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
		}
		return fmt.Errorf("%w: a name was free and taken %d times", billing.ErrUnavailable, claims)
	})
	return found, err
}

// claimed returns the existing claim on the name, or nil if that is c itself.
func claimed(ctx context.Context, conn *pgx.Conn, c billing.Claim) (*billing.Claimed, error) {
	var r billing.Claimed
	var fingerprint []byte
	err := conn.QueryRow(ctx, claimedSQL, c.KeyID, c.Name[:]).Scan(&r.RequestID, &fingerprint, &r.State, &r.Answer, &r.Object)
	if err != nil {
		return nil, err
	}
	if r.RequestID == c.RequestID && r.State == billing.ClaimRunning {
		return nil, nil // claimed by our own statement, whose reply was lost
	}
	copy(r.Fingerprint[:], fingerprint)
	return &r, nil
}

// doneSQL marks a claim as done in the transaction of its change. Several changes of one
// request may mark the same claim.
const doneSQL = `
UPDATE idempotency SET state = 'done', object = CASE state WHEN 'running' THEN $4 ELSE object END, expires_at = $5
 WHERE key_id = $1 AND name = $2 AND request_id = $3 AND state IN ('running', 'done')`

// done marks the claims of the changes in notes as done.
func done(ctx context.Context, tx pgx.Tx, notes []*billing.Change) error {
	for _, n := range notes {
		c := n.Claim
		if c == nil {
			continue
		}
		tag, err := tx.Exec(ctx, doneSQL, c.KeyID, c.Name[:], c.RequestID, n.Object, c.Until)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return billing.ErrClaimLost
		}
	}
	return nil
}

const keepSQL = `UPDATE idempotency SET state = $4, answer = $5, expires_at = $6 WHERE key_id = $1 AND name = $2 AND request_id = $3`

// Keep implements billing.Claims.
func (s *Store) Keep(ctx context.Context, c billing.Claim, answer []byte, until time.Time) error {
	return s.on(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, keepSQL, c.KeyID, c.Name[:], c.RequestID, billing.StateOf(answer), answer, until)
		return err
	})
}

const forgetSQL = `DELETE FROM idempotency WHERE key_id = $1 AND name = $2 AND request_id = $3 AND state = 'running'`

// Forget implements billing.Claims.
func (s *Store) Forget(ctx context.Context, c billing.Claim) error {
	return s.on(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, forgetSQL, c.KeyID, c.Name[:], c.RequestID)
		return err
	})
}

// expireSQL deletes a limited batch and leaves the rest for the next run, so that locks
// are held only briefly.
const expireSQL = `
DELETE FROM idempotency WHERE (key_id, name) IN (
  SELECT key_id, name FROM idempotency WHERE expires_at <= $1 ORDER BY expires_at LIMIT 5000 FOR UPDATE SKIP LOCKED)`

// ExpireClaims implements billing.Claims.
func (s *Store) ExpireClaims(ctx context.Context, now time.Time) (n int, err error) {
	err = s.on(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		tag, err := conn.Exec(ctx, expireSQL, now)
		n = int(tag.RowsAffected())
		return err
	})
	return n, err
}
