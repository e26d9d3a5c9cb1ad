package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"tallyroute/billing"
)

// widenSQL locks in the same order as a settlement: first the hold, then the counters.
var widenSQL = `
WITH hold AS MATERIALIZED (
  SELECT tokens, nano, requests FROM holds WHERE id = $1 FOR UPDATE
), line AS (
  SELECT * FROM unnest($2::text[], $3::timestamptz[], $4::timestamptz[]) AS l (budget_id, window_start, window_end)
), locked AS MATERIALIZED (
  SELECT c.*
    FROM budget_counters c JOIN line USING (budget_id, window_start, window_end)
   WHERE EXISTS (SELECT FROM hold)
   ORDER BY c.budget_id, c.window_start
     FOR UPDATE OF c
), ` + judgedSQL("(SELECT tokens FROM hold)", "(SELECT nano FROM hold)", "(SELECT requests FROM hold)") + `, verdict AS (
  SELECT count(*) = cardinality($2::text[]) AS complete, coalesce(bool_and(fits), true) AS fits FROM judged
), taken AS (
  UPDATE budget_counters c SET held_tokens = c.held_tokens + h.tokens, held_nano = c.held_nano + h.nano,
         held_requests = c.held_requests + h.requests
    FROM judged j, verdict v, hold h
   WHERE c.budget_id = j.id AND c.window_start = j.window_start AND v.complete AND v.fits
), wider AS (
  UPDATE holds SET budget_ids = budget_ids || $2::text[], window_starts = window_starts || $3::timestamptz[]
    FROM verdict v
   WHERE id = $1 AND v.complete AND v.fits
)
SELECT h.tokens, h.nano, h.requests, v.complete, coalesce(j.fits, true), ` + judgedColumns + `
  FROM hold h CROSS JOIN verdict v LEFT JOIN judged j ON true
 ORDER BY j.id`

// Widen implements billing.Ledger.
func (s *Store) Widen(ctx context.Context, holdID string, lines []billing.HoldLine) error {
	ids := make([]string, len(lines))
	starts, ends := make([]pgtype.Timestamptz, len(lines)), make([]pgtype.Timestamptz, len(lines))
	for i, l := range lines {
		ids[i] = l.Budget.ID
		starts[i], ends[i] = bounds(l.Window)
	}
	for range tries {
		var v verdict
		var held billing.Amount
		err := s.on(ctx, func(ctx context.Context, c *pgx.Conn) (err error) {
			v, held, err = widen(ctx, c, []any{holdID, ids, starts, ends})
			return err
		})
		switch {
		case err != nil:
			return err
		case v.missing:
			return fmt.Errorf("%w: %s", billing.ErrNoHold, holdID)
		case v.complete:
			_, err := v.outcome(billing.Hold{Tokens: held.Tokens, Money: held.Money})
			return err
		}
		if err := s.openMissing(ctx, lines, v.balances); err != nil {
			return err
		}
	}
	return billing.ErrStaleKey // a line's budget is no longer in force
}

// widen extends a hold to more counters, or returns a verdict that says why it cannot.
func widen(ctx context.Context, c *pgx.Conn, args []any) (v verdict, held billing.Amount, err error) {
	rows, err := c.Query(ctx, widenSQL, args...)
	if err != nil {
		return v, held, err
	}
	defer rows.Close()
	v = verdict{missing: true, refused: -1}
	for rows.Next() {
		var fits bool
		var st standing
		columns := append([]any{&held.Tokens, &held.Money, &held.Requests, &v.complete, &fits}, st.columns()...)
		if err := rows.Scan(columns...); err != nil {
			return v, held, err
		}
		v.missing = false
		if !fits && v.refused < 0 {
			v.refused = len(v.balances)
		}
		v.add(st)
	}
	return v, held, rows.Err()
}
