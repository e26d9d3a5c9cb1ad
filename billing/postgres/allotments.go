package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

const allotSQL = `
INSERT INTO allotments (id, key_id, token_limit, amount_nano, ends_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING`

// Allot implements billing.Allotments.
func (s *Store) Allot(ctx context.Context, a billing.Allotment) error {
	return s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, allotSQL, a.ID, a.KeyID, a.Tokens, a.Money, a.Until)
		return err
	})
}

const takeAllottedSQL = `
UPDATE allotments SET used_tokens = used_tokens + $2, used_nano = used_nano + $3
 WHERE id = $1 AND (token_limit IS NULL OR used_tokens + $2 + $4 <= token_limit)
   AND (amount_nano IS NULL OR used_nano + $3 + $5 <= amount_nano)
RETURNING used_tokens, used_nano`

const allottedSQL = `SELECT used_tokens, used_nano FROM allotments WHERE id = $1`

// Allotted implements billing.Allotments.
func (s *Store) Allotted(ctx context.Context, id string) (used billing.Amount, err error) {
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		err := c.QueryRow(ctx, allottedSQL, id).Scan(&used.Tokens, &used.Money)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return used, err
}

// TakeAllotted implements billing.Allotments.
func (s *Store) TakeAllotted(ctx context.Context, a *billing.Allotment, most, headroom billing.Amount) (used billing.Amount, err error) {
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		took := c.QueryRow(ctx, takeAllottedSQL, a.ID, most.Tokens, most.Money, headroom.Tokens, headroom.Money)
		err := took.Scan(&used.Tokens, &used.Money)
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		err = c.QueryRow(ctx, allottedSQL, a.ID).Scan(&used.Tokens, &used.Money)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("%w on %s", billing.ErrExpired, a.Until.UTC().Format(time.RFC3339))
		}
		if err != nil {
			return err
		}
		return a.Refuse(used, most)
	})
	return used, err
}

const giveAllottedSQL = `
UPDATE allotments SET used_tokens = used_tokens - $2, used_nano = used_nano - $3 WHERE id = $1 RETURNING used_tokens, used_nano`

// GiveAllotted implements billing.Allotments.
func (s *Store) GiveAllotted(ctx context.Context, id string, back billing.Amount) (used billing.Amount, err error) {
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		err := c.QueryRow(ctx, giveAllottedSQL, id, back.Tokens, back.Money).Scan(&used.Tokens, &used.Money)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return used, err
}

// EndAllotments implements billing.Allotments.
func (s *Store) EndAllotments(ctx context.Context, now time.Time) (n int, err error) {
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		tag, err := c.Exec(ctx, "DELETE FROM allotments WHERE ends_at <= $1", now)
		n = int(tag.RowsAffected())
		return err
	})
	return n, err
}
