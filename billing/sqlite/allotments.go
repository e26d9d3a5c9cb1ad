package sqlite

import (
	"context"
	"fmt"
	"time"

	"tallyroute/billing"
)

const (
	insertAllotment = `INSERT INTO allotments (id, key_id, token_limit, amount_nano, ends_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING`
	takeAllotted = `UPDATE allotments SET used_tokens = used_tokens + ?2, used_nano = used_nano + ?3
WHERE id = ?1 AND (token_limit IS NULL OR used_tokens + ?2 + ?4 <= token_limit)
  AND (amount_nano IS NULL OR used_nano + ?3 + ?5 <= amount_nano)`
	selectAllotted = `SELECT used_tokens, used_nano FROM allotments WHERE id = ?`
	giveAllotted   = `UPDATE allotments SET used_tokens = used_tokens - ?2, used_nano = used_nano - ?3 WHERE id = ?1`
	endAllotments  = `DELETE FROM allotments WHERE ends_at <= ?`
)

// Allot implements billing.Allotments.
func (s *Store) Allot(ctx context.Context, a billing.Allotment) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		_, err := tx.exec(ctx, insertAllotment, a.ID, string(a.KeyID), orNull(a.Tokens), orNull(a.Money), stamp(a.Until))
		return err
	})
}

// Allotted implements billing.Allotments.
func (s *Store) Allotted(ctx context.Context, id string) (used billing.Amount, err error) {
	_, err = s.read.row(ctx, selectAllotted, []any{id}, &used.Tokens, &used.Money)
	return used, err
}

// TakeAllotted implements billing.Allotments.
func (s *Store) TakeAllotted(ctx context.Context, a *billing.Allotment, most, headroom billing.Amount) (used billing.Amount, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		n, err := tx.exec(ctx, takeAllotted, a.ID, most.Tokens, int64(most.Money), headroom.Tokens, int64(headroom.Money))
		if err != nil {
			return err
		}
		found, err := tx.row(ctx, selectAllotted, []any{a.ID}, &used.Tokens, &used.Money)
		switch {
		case err != nil || n == 1:
			return err
		case !found:
			return fmt.Errorf("%w on %s", billing.ErrExpired, a.Until.UTC().Format(time.RFC3339))
		}
		return a.Refuse(used, most)
	})
	return used, err
}

// GiveAllotted implements billing.Allotments.
func (s *Store) GiveAllotted(ctx context.Context, id string, back billing.Amount) (used billing.Amount, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		if _, err := tx.exec(ctx, giveAllotted, id, back.Tokens, int64(back.Money)); err != nil {
			return err
		}
		_, err := tx.row(ctx, selectAllotted, []any{id}, &used.Tokens, &used.Money)
		return err
	})
	return used, err
}

// EndAllotments implements billing.Allotments.
func (s *Store) EndAllotments(ctx context.Context, now time.Time) (n int, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		gone, err := tx.exec(ctx, endAllotments, stamp(now))
		n = int(gone)
		return err
	})
	return n, err
}
