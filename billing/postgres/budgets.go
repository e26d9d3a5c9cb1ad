package postgres

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

// seeding is how long the sum of a new budget's past may take: longer than any
// statement on the way of a request.
const seeding = 15 * time.Second

// setBudgetSQL touches no budget of another scope: what it used is not what
// the new scope used.
const setBudgetSQL = `
INSERT INTO budgets AS b (id, scope, scope_id, period, zone, token_limit, amount_nano)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (id) DO UPDATE
   SET period = excluded.period, zone = excluded.zone, token_limit = excluded.token_limit, amount_nano = excluded.amount_nano,
       archived_at = NULL
 WHERE b.scope = excluded.scope AND b.scope_id = excluded.scope_id`

// raiseSQL makes every copy of a key below the scope $1 $2 out of date.
const raiseSQL = `
UPDATE api_keys SET version = version + 1
 WHERE id IN (
   SELECT k.id FROM api_keys k JOIN projects p ON p.id = k.project_id
    WHERE CASE $1 WHEN 'key' THEN k.id WHEN 'project' THEN k.project_id WHEN 'team' THEN p.team_id ELSE 'org' END = $2
    ORDER BY k.id
      FOR UPDATE OF k)`

// SetBudget implements billing.Owners. The counter of the current window is
// made at once, since summing up a long past is too slow for a request.
func (s *Store) SetBudget(ctx context.Context, b billing.Budget, now time.Time) error {
	if b.Scope == billing.ScopeOrg {
		b.ScopeID = cmp.Or(b.ScopeID, "org")
	}
	b.ID = cmp.Or(b.ID, newID("bud_"))
	if err := b.Validate(); err != nil {
		return err
	}
	w, err := b.Window(now)
	if err != nil {
		return err
	}
	return s.within(ctx, lane{s.requests.pool, seeding}, func(ctx context.Context, c *pgx.Conn) error {
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL statement_timeout = %d", seeding.Milliseconds())); err != nil {
				return err
			}
			if err := setBudget(ctx, tx, b); err != nil {
				return err
			}
			return openCounter(ctx, tx, b, w)
		})
	})
}

func setBudget(ctx context.Context, tx pgx.Tx, b billing.Budget) error {
	if err := lockAdmin(ctx, tx); err != nil {
		return err
	}
	if err := mustExist(ctx, tx, b.Scope, b.ScopeID); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, raiseSQL, b.Scope, b.ScopeID); err != nil {
		return err
	}
	return putBudget(ctx, tx, b)
}

func putBudget(ctx context.Context, tx pgx.Tx, b billing.Budget) error {
	tag, err := tx.Exec(ctx, setBudgetSQL, b.ID, b.Scope, b.ScopeID, b.Period, b.Zone, b.Tokens, b.Money)
	if err == nil && tag.RowsAffected() == 0 {
		return &billing.ConflictError{Detail: fmt.Sprintf("budget %s belongs to another %s than %s", b.ID, b.Scope, b.ScopeID)}
	}
	return err
}

const archiveBudgetsSQL = `
UPDATE budgets SET archived_at = now()
 WHERE scope = 'key' AND scope_id = $1 AND archived_at IS NULL AND id <> ALL ($2::text[])`

// keepBudgets makes the budgets of scope key that k carries the only ones that
// it has.
func keepBudgets(ctx context.Context, tx pgx.Tx, k billing.Key) error {
	kept := []string{}
	for _, b := range k.Budgets {
		if b.Scope != billing.ScopeKey {
			continue
		}
		b.ID, b.ScopeID = cmp.Or(b.ID, newID("bud_")), string(k.ID)
		if err := b.Validate(); err != nil {
			return err
		}
		if err := putBudget(ctx, tx, b); err != nil {
			return err
		}
		kept = append(kept, b.ID)
	}
	_, err := tx.Exec(ctx, archiveBudgetsSQL, k.ID, kept)
	return err
}

const listBudgetsSQL = `
SELECT id, scope, scope_id, period, zone, token_limit, amount_nano FROM budgets WHERE archived_at IS NULL ORDER BY id`

// ListBudgets implements billing.Owners.
func (s *Store) ListBudgets(ctx context.Context) ([]billing.Budget, error) {
	return all(ctx, s, func(row pgx.CollectableRow) (b billing.Budget, err error) {
		err = row.Scan(&b.ID, &b.Scope, &b.ScopeID, &b.Period, &b.Zone, &b.Tokens, &b.Money)
		return b, err
	}, listBudgetsSQL)
}
