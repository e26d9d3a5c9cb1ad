package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

// setBudgetSQL leaves a budget of another scope alone, because its usage is not that of
// the new scope.
const setBudgetSQL = `
INSERT INTO budgets AS b (id, scope, scope_id, period, zone, token_limit, amount_nano, request_limit, starts, near_action, thresholds,
  part, named)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (id) DO UPDATE
   SET period = excluded.period, zone = excluded.zone, token_limit = excluded.token_limit, amount_nano = excluded.amount_nano,
       request_limit = excluded.request_limit, starts = excluded.starts, near_action = excluded.near_action,
       thresholds = excluded.thresholds, archived_at = NULL
 WHERE b.scope = excluded.scope AND b.scope_id = excluded.scope_id AND b.part = excluded.part AND b.named = excluded.named`

// belowSQL copies the settings of a budget to its child budgets.
const belowSQL = `
UPDATE budgets b
   SET period = p.period, zone = p.zone, token_limit = p.token_limit, amount_nano = p.amount_nano, request_limit = p.request_limit,
       starts = p.starts, near_action = p.near_action, thresholds = p.thresholds, archived_at = p.archived_at
  FROM budgets p
 WHERE p.id = $1 AND b.parent_id = p.id`

// raiseSQL bumps the version of every key in scope $1 with id $2, which invalidates its
// cached copies.
const raiseSQL = `
UPDATE api_keys SET version = version + 1
 WHERE id IN (
   SELECT k.id FROM api_keys k JOIN projects p ON p.id = k.project_id
    WHERE CASE $1 WHEN 'key' THEN k.id WHEN 'project' THEN k.project_id WHEN 'team' THEN p.team_id ELSE 'org' END = $2
    ORDER BY k.id
      FOR UPDATE OF k)`

// UpdateBudget implements billing.Limits. It creates the counter of the current window
// right away, because summing up a long history would be too slow during a request.
func (s *Store) UpdateBudget(ctx context.Context, b billing.Budget, change billing.BudgetChange, now time.Time,
	notes ...*billing.Change,
) (set billing.Budget, err error) {
	err = s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if set, err = changed(ctx, tx, b, change); err != nil {
			return err
		}
		w, err := set.Window(now)
		if err != nil {
			return err
		}
		if err := setBudget(ctx, tx, set); err != nil {
			return err
		}
		if set.Part == "" {
			err = openCounter(ctx, tx, set, w)
		}
		return errors.Join(err, note(ctx, tx, notes))
	})
	return set, err
}

const (
	anyBudgetSQL = "SELECT id, scope, scope_id, period, zone, token_limit, amount_nano, request_limit, starts, near_action, thresholds," +
		" part, named, coalesce(parent_id, '') FROM budgets WHERE archived_at IS NULL"
	budgetSQL     = anyBudgetSQL + " AND parent_id IS NULL"
	sameBudgetSQL = budgetSQL + " AND scope = $1 AND scope_id = $2 AND period = $3 AND id <> $4 AND part = $5 AND named = $6" +
		" ORDER BY id LIMIT 1"
)

// changed applies change to the budget with b's id, or if b has no id, to the one with the
// same scope, period and part, or if there is none, to b itself. It returns the result.
func changed(ctx context.Context, tx pgx.Tx, b billing.Budget, change billing.BudgetChange) (billing.Budget, error) {
	if b.Scope == billing.ScopeOrg {
		b.ScopeID = cmp.Or(b.ScopeID, "org")
	}
	sql, args := sameBudgetSQL, []any{b.Scope, b.ScopeID, b.Period, "", b.Part, b.Named}
	if b.ID != "" {
		sql, args = findBudgetSQL, []any{b.ID}
	}
	found, err := one(ctx, tx, scanBudget, sql, args...)
	existed := err == nil
	if errors.Is(err, pgx.ErrNoRows) {
		found, err = b, nil
		found.ID = cmp.Or(b.ID, newID("bud_"))
	}
	if err != nil {
		return b, err
	}
	period := found.Period
	if err := change(&found, existed); err != nil {
		return b, err
	}
	if err := found.Validate(); err != nil {
		return b, err
	}
	if existed && found.Period == period {
		return found, nil
	}
	twin, err := one(ctx, tx, scanBudget, sameBudgetSQL, found.Scope, found.ScopeID, found.Period, found.ID,
		found.Part, found.Named)
	if errors.Is(err, pgx.ErrNoRows) {
		return found, nil
	}
	return found, cmp.Or(err, found.Twice(twin.ID))
}

func setBudget(ctx context.Context, tx pgx.Tx, b billing.Budget) error {
	if err := mustExist(ctx, tx, b.Scope, b.ScopeID); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, raiseSQL, b.Scope, b.ScopeID); err != nil {
		return err
	}
	return putBudget(ctx, tx, b)
}

func putBudget(ctx context.Context, tx pgx.Tx, b billing.Budget) error {
	tag, err := tx.Exec(ctx, setBudgetSQL, b.ID, b.Scope, b.ScopeID, b.Period, b.Zone, b.Tokens, b.Money, b.Requests, b.Starts,
		cmp.Or(b.Action, billing.ActionBlock), b.ThresholdsText(), b.Part, b.Named)
	if err == nil && tag.RowsAffected() == 0 {
		return &billing.ConflictError{Detail: fmt.Sprintf("budget %s belongs to another %s than %s, or to another part of it",
			b.ID, b.Scope, b.ScopeID)}
	}
	if err == nil && b.Part != "" {
		_, err = tx.Exec(ctx, belowSQL, b.ID)
	}
	return err
}

const archiveBudgetsSQL = `
WITH ended AS (
  SELECT id FROM budgets
   WHERE scope = 'key' AND scope_id = $1 AND parent_id IS NULL AND archived_at IS NULL AND id <> ALL ($2::text[])
)
UPDATE budgets SET archived_at = now()
 WHERE archived_at IS NULL AND id IN (SELECT id FROM ended UNION ALL SELECT c.id FROM budgets c JOIN ended e ON c.parent_id = e.id)`

const lockKeyBudgetsSQL = `
SELECT FROM budgets WHERE scope = 'key' AND scope_id = $1 AND parent_id IS NULL ORDER BY id FOR NO KEY UPDATE`

// keepBudgets stores the budgets of scope key that k carries and archives all others that
// the key has.
func keepBudgets(ctx context.Context, tx pgx.Tx, k billing.Key) error {
	if _, err := tx.Exec(ctx, lockKeyBudgetsSQL, k.ID); err != nil {
		return err
	}
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

const countBudgetsSQL = "SELECT count(*) FROM budgets WHERE archived_at IS NULL AND parent_id IS NULL"

// ListBudgets implements billing.Limits.
func (s *Store) ListBudgets(ctx context.Context, f billing.BudgetFilter) ([]billing.Budget, error) {
	q := query{sql: budgetSQL}
	if f.Below != "" {
		q.sql = anyBudgetSQL
		q.where("parent_id = ?", billing.CleanText(f.Below))
	}
	if f.ID != "" {
		q.where("id = ?", billing.CleanText(f.ID))
	}
	if f.Above && f.Key == "" {
		q.where("scope IN ('org', 'team', 'project')")
	}
	if f.Above && f.Key != "" {
		q.where("(scope IN ('org', 'team', 'project') OR scope = 'key' AND scope_id = ?)",
			billing.CleanText(string(f.Key)))
	}
	if f.After != "" {
		q.where("id > ?", billing.CleanText(f.After))
	}
	q.add(" ORDER BY id")
	if f.Limit > 0 {
		q.add(" LIMIT ?", f.Limit)
	}
	return all(ctx, s, scanBudget, q.sql, q.args...)
}

// CountBudgets implements billing.Limits.
func (s *Store) CountBudgets(ctx context.Context) (n int64, err error) {
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error { return c.QueryRow(ctx, countBudgetsSQL).Scan(&n) })
	return n, err
}

func scanBudget(row pgx.CollectableRow) (b billing.Budget, err error) {
	var told string
	err = row.Scan(&b.ID, &b.Scope, &b.ScopeID, &b.Period, &b.Zone, &b.Tokens, &b.Money, &b.Requests, &b.Starts, &b.Action, &told,
		&b.Part, &b.Named, &b.Parent)
	b.Thresholds = thresholds(told)
	return b, err
}

const (
	findBudgetSQL    = budgetSQL + " AND id = $1"
	lockBudgetSQL    = "SELECT FROM budgets WHERE id = $1 FOR NO KEY UPDATE"
	archiveBudgetSQL = "UPDATE budgets SET archived_at = now() WHERE id = $1 OR parent_id = $1"
	forgiveSQL       = `
WITH locked AS MATERIALIZED (
  SELECT budget_id, window_start
    FROM budget_counters
   WHERE (budget_id = $1 OR budget_id IN (SELECT id FROM budgets WHERE parent_id = $1)) AND window_start = $2
   ORDER BY budget_id, window_start
     FOR UPDATE
)
UPDATE budget_counters c
   SET forgiven_tokens = c.forgiven_tokens + c.used_tokens, forgiven_nano = c.forgiven_nano + c.used_nano,
       forgiven_requests = c.forgiven_requests + c.used_requests, used_tokens = 0, used_nano = 0, used_requests = 0
  FROM locked
 WHERE c.budget_id = locked.budget_id AND c.window_start = locked.window_start`
)

// findBudget returns the budget with an id and locks it, so that it can be changed, and
// invalidates the cached copies of every key that it applies to.
func findBudget(ctx context.Context, tx pgx.Tx, id string) (billing.Budget, error) {
	b, err := one(ctx, tx, scanBudget, findBudgetSQL, id)
	if err != nil {
		return b, missing(err, "budget", id)
	}
	if _, err = tx.Exec(ctx, raiseSQL, b.Scope, b.ScopeID); err == nil {
		_, err = tx.Exec(ctx, lockBudgetSQL, id)
	}
	return b, err
}

// RemoveBudget implements billing.Limits.
func (s *Store) RemoveBudget(ctx context.Context, id string, notes ...*billing.Change) error {
	return s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := findBudget(ctx, tx, id); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, archiveBudgetSQL, id); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

// ResetBudget implements billing.Limits. It first creates the counter if there is none, so
// that everything booked in the ledger so far is forgiven as well.
func (s *Store) ResetBudget(ctx context.Context, id string, now time.Time, notes ...*billing.Change) error {
	return s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		b, err := findBudget(ctx, tx, id)
		if err != nil {
			return err
		}
		w, err := b.Window(now)
		if err != nil {
			return err
		}
		if b.Part == "" {
			if err := openCounter(ctx, tx, b, w); err != nil {
				return err
			}
		}
		start, _ := bounds(w)
		if _, err := tx.Exec(ctx, forgiveSQL, id, start); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

const raiseBudgetSQL = `
INSERT INTO budget_raises (id, budget_id, tokens, nano, requests, begins_at, ends_at, actor, reason, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`

// RaiseBudget implements billing.Limits.
func (s *Store) RaiseBudget(ctx context.Context, r billing.Raise, notes ...*billing.Change) error {
	return s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := raise(ctx, tx, r); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

func raise(ctx context.Context, tx pgx.Tx, r billing.Raise) error {
	b, err := findBudget(ctx, tx, r.BudgetID)
	if err == nil {
		err = r.Check(b)
	}
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, raiseBudgetSQL, newID("rais_"), r.BudgetID, r.By.Tokens, r.By.Money, r.By.Requests, r.From, r.Until,
		billing.CleanText(r.Actor), billing.CleanText(r.Reason), r.At)
	return err
}

const (
	findTopUpSQL = "SELECT amount_nano FROM top_ups WHERE budget_id = $1 AND reference = $2"
	topUpSQL     = `
INSERT INTO top_ups (id, budget_id, amount_nano, reference, actor, reason, added_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`
	raiseLimitSQL = "UPDATE budgets SET amount_nano = amount_nano + $2 WHERE id = $1 OR parent_id = $1"
)

// TopUp implements billing.Limits.
func (s *Store) TopUp(ctx context.Context, t billing.TopUp, notes ...*billing.Change) (existed bool, err error) {
	err = s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		b, err := findBudget(ctx, tx, t.BudgetID)
		if err != nil {
			return err
		}
		if err := t.Check(b); err != nil {
			return err
		}
		before, err := one(ctx, tx, pgx.RowTo[billing.Money], findTopUpSQL, t.BudgetID, billing.CleanText(t.Reference))
		if existed = err == nil; existed {
			return t.Same(before)
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if _, err := tx.Exec(ctx, topUpSQL, newID("top_"), t.BudgetID, t.Amount, billing.CleanText(t.Reference),
			billing.CleanText(t.Actor), billing.CleanText(t.Reason), t.At); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, raiseLimitSQL, t.BudgetID, t.Amount); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
	return existed, err
}
