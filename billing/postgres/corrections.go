package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

// correctSQL inserts rows of any owners and updates the counter of every window
// that they occurred in. The locks of their scopes must be taken first.
var correctSQL = `
WITH posted AS (
  ` + insertEventsSQL(1) + `
  RETURNING key_id, project_id, team_id, occurred_at,
            input_tokens + cache_read_tokens + cache_write_tokens + output_tokens AS tokens, coalesce(cost_nano, 0) AS nano, limits
), scoped AS (
  SELECT s.scope, s.scope_id, occurred_at, tokens, nano
    FROM posted, LATERAL (VALUES ('key', key_id), ('project', project_id), ('team', team_id), ('org', 'org')) AS s (scope, scope_id)
), change AS (
  SELECT c.budget_id, c.window_start, sum(s.tokens)::bigint AS tokens, sum(s.nano)::bigint AS nano
    FROM scoped s
    JOIN budgets b ON b.scope = s.scope AND b.scope_id = s.scope_id AND b.parent_id IS NULL
    JOIN budget_counters c ON c.budget_id = b.id AND c.window_start <= s.occurred_at AND c.window_end > s.occurred_at
   GROUP BY 1, 2
   UNION ALL
  SELECT c.budget_id, c.window_start, sum(p.tokens)::bigint, sum(p.nano)::bigint
    FROM posted p
   CROSS JOIN LATERAL unnest(p.limits) AS l (budget_id)
    JOIN budget_counters c ON c.budget_id = l.budget_id AND c.window_start <= p.occurred_at AND c.window_end > p.occurred_at
   GROUP BY 1, 2
), locked AS MATERIALIZED (
  SELECT c.budget_id, c.window_start
    FROM budget_counters c JOIN change USING (budget_id, window_start)
   ORDER BY c.budget_id, c.window_start
     FOR UPDATE OF c
)
UPDATE budget_counters c
   SET used_tokens = ` + usedTokensSQL("c.used_tokens + d.tokens") + `,
       used_nano = ` + usedNanoSQL("c.used_nano + d.nano") + `
  FROM change d JOIN locked USING (budget_id, window_start)
 WHERE c.budget_id = d.budget_id AND c.window_start = d.window_start`

// enter books rows other than usage within tx.
func (s *Store) enter(ctx context.Context, tx pgx.Tx, rows []billing.Spend) error {
	rows, err := s.bookLate(ctx, tx, rows)
	if err != nil {
		return err
	}
	for i := range rows {
		if rows[i], err = s.event(rows[i]); err != nil {
			return err
		}
	}
	if names := namedUsers(rows); len(names) > 0 {
		if _, err := tx.Exec(ctx, nameUsersSQL, names); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, lockScopesSQL, batchLocks(rows)); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, correctSQL, arrays(rows)...)
	return err
}

// Correct implements billing.Corrections.
func (s *Store) Correct(ctx context.Context, rows []billing.Spend, notes ...*billing.Change) error {
	for _, r := range rows {
		if r.Kind == billing.KindUsage || r.Kind == "" {
			return errors.New("billing/postgres: usage is settled, not corrected")
		}
	}
	return s.long(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return correct(ctx, c, func(ctx context.Context, tx pgx.Tx) error {
			if err := s.enter(ctx, tx, rows); err != nil {
				return err
			}
			return note(ctx, tx, notes)
		})
	})
}

// correct runs work in a transaction, and retries it if the transaction was aborted by a
// conflict or a month was closed after work had read its state. It creates partitions
// that are missing.
func correct(ctx context.Context, c *pgx.Conn, work func(context.Context, pgx.Tx) error) error {
	for try := 1; ; try++ {
		err := pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error { return work(ctx, tx) })
		if err != nil && try < tries {
			if again(err) || closedPeriod(err) {
				continue
			}
			if lacksPartition(err) {
				if _, err = c.Exec(ctx, housekeepingSQL); err == nil {
					continue
				}
			}
		}
		if code(err) == uniqueViolation {
			err = fmt.Errorf("%w: a correction", billing.ErrDuplicate)
		}
		return err
	}
}

// repriceBatch is the number of rows that one transaction examines.
const repriceBatch = 500

const (
	repriceLockSQL = "SELECT pg_advisory_xact_lock(hashtextextended('tallyroute.reprice', 0))"
	repriceSQL     = selectEventsSQL + `
 WHERE e.kind = 'usage' AND e.occurred_at >= $1 AND e.occurred_at < $2 AND (e.occurred_at, e.event_id) > ($3, $4::text::uuid)
   AND ($5 = '' OR e.provider = $5) AND ($6 = '' OR e.model = $6)
 ORDER BY e.occurred_at, e.event_id
 LIMIT $7`
	adjustmentsSQL = `
SELECT adjusts_event::text, sum(coalesce(input_cost_nano, 0))::bigint, sum(coalesce(cache_read_cost_nano, 0))::bigint,
       sum(coalesce(cache_write_cost_nano, 0))::bigint, sum(coalesce(output_cost_nano, 0))::bigint, sum(coalesce(fee_nano, 0))::bigint,
       sum(cost_nano)::bigint, sum(coalesce(baseline_cost_nano, 0))::bigint,
       sum(coalesce(cache_savings_nano, 0))::bigint
  FROM spend_events
 WHERE adjusts_event = ANY ($1::text[]::uuid[]) AND kind = 'adjustment' AND pricing = 'priced'
 GROUP BY adjusts_event`
)

// cursor identifies the last row of a batch.
type cursor struct {
	at time.Time
	id string
}

// Reprice implements billing.Corrections. Concurrent repricings take turns batch by
// batch, so that each sees the adjustments the other has made.
func (s *Store) Reprice(ctx context.Context, r billing.Repricing) (sum billing.Repriced, err error) {
	if err := r.Check(); err != nil {
		return sum, err
	}
	months, err := s.ListPeriods(ctx)
	if err == nil {
		err = r.Reachable(months, s.reporting)
	}
	if err != nil {
		return sum, err
	}
	err = s.long(ctx, func(ctx context.Context, c *pgx.Conn) error {
		last := cursor{r.From.Add(-time.Microsecond), "ffffffff-ffff-ffff-ffff-ffffffffffff"}
		for more := true; more; {
			batch, next := sum, last
			err := correct(ctx, c, func(ctx context.Context, tx pgx.Tx) (err error) {
				batch = sum
				if _, err := tx.Exec(ctx, repriceLockSQL); err != nil {
					return err
				}
				if next, more, err = s.repriceSome(ctx, tx, r, &batch, last); err != nil || r.DryRun {
					return err
				}
				return note(ctx, tx, r.Notes)
			})
			if err != nil {
				return err
			}
			sum, last, r.Notes = batch, next, nil
		}
		return nil
	})
	return sum, err
}

func (s *Store) repriceSome(ctx context.Context, tx pgx.Tx, r billing.Repricing, sum *billing.Repriced, last cursor) (next cursor,
	more bool, err error,
) {
	found, err := tx.Query(ctx, repriceSQL, r.From, r.To, last.at, last.id, r.Provider, r.Model, repriceBatch)
	if err != nil {
		return last, false, err
	}
	rows, err := pgx.CollectRows(found, scanSpend)
	if err != nil || len(rows) == 0 {
		return last, false, err
	}
	charged, err := chargedWith(ctx, tx, rows)
	if err != nil {
		return last, false, err
	}
	var adjustments []billing.Spend
	for _, c := range charged {
		if row, changed := r.Reprice(c, sum); changed {
			adjustments = append(adjustments, row)
		}
	}
	if len(adjustments) > 0 && !r.DryRun {
		err = s.enter(ctx, tx, adjustments)
	}
	end := rows[len(rows)-1]
	return cursor{end.OccurredAt, end.EventID}, len(rows) == repriceBatch, err
}

// chargedWith returns rows together with their adjustments.
func chargedWith(ctx context.Context, tx pgx.Tx, rows []billing.Spend) ([]billing.Charged, error) {
	charged, ids := make([]billing.Charged, len(rows)), make([]string, len(rows))
	at := make(map[string]int, len(rows))
	for i, row := range rows {
		charged[i], ids[i], at[row.EventID] = billing.NewCharged(row), row.EventID, i
	}
	found, err := tx.Query(ctx, adjustmentsSQL, ids)
	if err != nil {
		return nil, err
	}
	var id string
	var c billing.Cost
	var baseline, saved billing.Money
	into := []any{&id, &c.Input, &c.CacheRead, &c.CacheWrite, &c.Output, &c.Fee, &c.Total, &baseline, &saved}
	_, err = pgx.ForEachRow(found, into, func() error {
		charged[at[id]].Add(c, baseline, saved)
		return nil
	})
	return charged, err
}
