package sqlite

import (
	"cmp"
	"context"
	"fmt"

	"tallyroute/billing"
)

const (
	findBelow  = `SELECT 1 FROM budgets WHERE id = ?`
	countBelow = `UPDATE budgets SET names = names + 1 WHERE id = ? AND archived_at IS NULL AND names < ?`
	makeBelow1 = `INSERT INTO budgets (id, parent_id, named, part, scope, scope_id, period, zone, token_limit, amount_nano, request_limit,
  starts, near_action, thresholds, created_at)
SELECT ?2, id, ?3, part, scope, scope_id, period, zone, token_limit, amount_nano, request_limit, starts, near_action, thresholds,
  created_at
FROM budgets WHERE id = ?1`
)

// makeBelow creates b if it is a budget below another one and does not exist yet. It returns a
// *billing.CrowdedError if its parent has no room for another name.
func makeBelow(ctx context.Context, tx *session, b billing.Budget) error {
	if b.Parent == "" {
		return nil
	}
	var one int
	if found, err := tx.row(ctx, findBelow, []any{b.ID}, &one); found || err != nil {
		return err
	}
	most := b.MostBelow()
	n, err := tx.exec(ctx, countBelow, b.Parent, most)
	if err == nil && n == 0 {
		if n, err = dropIdle(ctx, tx, b.Parent); err == nil && n > 0 {
			n, err = tx.exec(ctx, countBelow, b.Parent, most)
		}
	}
	switch {
	case err != nil:
		return err
	case n == 0:
		if found, err := tx.row(ctx, findBelow, []any{b.Parent}, &one); !found || err != nil {
			return cmp.Or(err, billing.ErrStaleKey)
		}
		return &billing.CrowdedError{BudgetID: b.ID}
	}
	_, err = tx.exec(ctx, makeBelow1, b.Parent, b.ID, b.StoredName())
	return err
}

const (
	// idleBelow selects budgets below ?1 that have no current window and nothing held or leased.
	idleBelow = `SELECT b.id FROM budgets b
WHERE b.parent_id = ?1
  AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.budget_id = b.id AND l.tokens + l.nano + l.requests > 0)
  AND NOT EXISTS (
    SELECT 1 FROM budget_counters c
     WHERE c.budget_id = b.id
       AND (c.window_end > strftime('%Y-%m-%dT%H:%M:%fZ', 'now') AND c.window_start < '9999-01-01'
         OR c.held_tokens + c.held_nano + c.held_requests > 0
         OR c.leased_tokens + c.leased_nano + c.leased_requests > 0))
LIMIT 1000`
	dropLeases   = `DELETE FROM leases WHERE budget_id IN (SELECT value FROM json_each(?))`
	dropCounters = `DELETE FROM budget_counters WHERE budget_id IN (SELECT value FROM json_each(?))`
	dropBelow    = `DELETE FROM budgets WHERE id IN (SELECT value FROM json_each(?))`
	fewerBelow   = `UPDATE budgets SET names = max(names - ?, 0) WHERE id = ?`
	parents      = `SELECT id FROM budgets WHERE names > 0`
)

// dropIdle removes the budgets below parent whose names have not been used lately, and returns
// how many it removed.
func dropIdle(ctx context.Context, tx *session, parent string) (int64, error) {
	var idle []string
	err := tx.rows(ctx, idleBelow, []any{parent}, func(scan scanner) error {
		var id string
		err := scan(&id)
		idle = append(idle, id)
		return err
	})
	if err != nil || len(idle) == 0 {
		return 0, err
	}
	ids := asJSON(idle)
	for _, sql := range []string{dropLeases, dropCounters, dropBelow} {
		if _, err := tx.exec(ctx, sql, ids); err != nil {
			return 0, fmt.Errorf("billing/sqlite: names of budget %s: %w", parent, err)
		}
	}
	_, err = tx.exec(ctx, fewerBelow, len(idle), parent)
	return int64(len(idle)), err
}

// pruneNames removes, below every parent, the budgets whose names have not been used lately.
func (s *Store) pruneNames(ctx context.Context) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		var all []string
		err := tx.rows(ctx, parents, nil, func(scan scanner) error {
			var id string
			err := scan(&id)
			all = append(all, id)
			return err
		})
		for _, id := range all {
			if err == nil {
				_, err = dropIdle(ctx, tx, id)
			}
		}
		return err
	})
}
