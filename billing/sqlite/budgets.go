package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"tallyroute/billing"
)

const raiseVersions = `UPDATE api_keys SET version = version + 1
WHERE CASE ?1 WHEN 'key'     THEN id = ?2
              WHEN 'project' THEN project_id = ?2
              WHEN 'team'    THEN project_id IN (SELECT id FROM projects WHERE team_id = ?2)
              ELSE TRUE END`

// UpdateBudget implements billing.Limits. The scope of an existing budget cannot be changed,
// since something may already have been charged to it. Counters need no change: the counter of
// each window is created, filled from the ledger, when it is first needed.
func (s *Store) UpdateBudget(ctx context.Context, b billing.Budget, change billing.BudgetChange, now time.Time,
	notes ...*billing.Change,
) (set billing.Budget, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		if set, err = changed(ctx, tx, b, change); err != nil {
			return err
		}
		if err := wantScope(ctx, tx, set.Scope, set.ScopeID); err != nil {
			return err
		}
		if err := putBudget(ctx, tx, set, now); err != nil {
			return err
		}
		_, err := tx.exec(ctx, raiseVersions, string(set.Scope), set.ScopeID)
		return errors.Join(err, note(ctx, tx, notes))
	})
	return set, err
}

// changed returns the result of applying change to the budget with b's id; if b has no id, to
// the budget with the same scope, period, part and name; and if there is none, to b itself.
func changed(ctx context.Context, tx *session, b billing.Budget, change billing.BudgetChange) (billing.Budget, error) {
	query, args := sameBudget, []any{string(b.Scope), b.ScopeID, string(b.Period), "", string(b.Part), b.Named}
	if b.ID != "" {
		query, args = findBudget, []any{b.ID}
	}
	var found billing.Budget
	existed, err := tx.row(ctx, query, args, budgetScan(&found)...)
	if err != nil {
		return b, err
	}
	if !existed {
		found = b
		found.ID = cmp.Or(b.ID, billing.NewID("bud_"))
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
	var twin billing.Budget
	twice, err := tx.row(ctx, sameBudget, []any{
		string(found.Scope), found.ScopeID, string(found.Period), found.ID, string(found.Part), found.Named,
	}, budgetScan(&twin)...)
	if err == nil && twice {
		err = found.Twice(twin.ID)
	}
	return found, err
}

func budgetScan(b *billing.Budget) []any {
	return []any{
		&b.ID, &b.Scope, &b.ScopeID, &b.Period, &b.Zone, &b.Tokens, &b.Money, &b.Requests, &b.Starts, &b.Action,
		thresholds{&b.Thresholds},
		&b.Part, &b.Named,
		orEmpty{&b.Parent},
	}
}

const (
	anyBudget = `SELECT id, scope, scope_id, period, zone, token_limit, amount_nano, request_limit, starts,
  near_action, thresholds, part, named, parent_id FROM budgets WHERE archived_at IS NULL`
	liveBudgets = anyBudget + ` AND parent_id IS NULL`
	findBudget  = liveBudgets + ` AND id = ?`
	sameBudget  = liveBudgets + ` AND scope = ? AND scope_id = ? AND period = ? AND id <> ? AND part = ? AND named = ?
  ORDER BY id LIMIT 1`
	countBudgets  = `SELECT count(*) FROM budgets WHERE archived_at IS NULL AND parent_id IS NULL`
	archiveBudget = `UPDATE budgets SET archived_at = ?1 WHERE id = ?2 OR parent_id = ?2`
	forgive       = `UPDATE budget_counters SET forgiven_tokens = forgiven_tokens + used_tokens, forgiven_nano = forgiven_nano + used_nano,
  used_tokens = 0, used_nano = 0, forgiven_requests = forgiven_requests + used_requests, used_requests = 0
WHERE (budget_id = ?1 OR budget_id IN (SELECT id FROM budgets WHERE parent_id = ?1)) AND window_start = ?2`
	findTopUp   = `SELECT amount_nano FROM top_ups WHERE budget_id = ? AND reference = ?`
	insertTopUp = `INSERT INTO top_ups (id, budget_id, amount_nano, reference, actor, reason, added_at) VALUES (?, ?, ?, ?, ?, ?, ?)`
	raiseLimit  = `UPDATE budgets SET amount_nano = amount_nano + ?1 WHERE id = ?2 OR parent_id = ?2`
)

// changeBudget runs work on the budget with the given id and raises the version of every key
// below it, so that cached copies of those keys become stale.
func (s *Store) changeBudget(ctx context.Context, id string, work func(context.Context, *session, billing.Budget) error,
	notes []*billing.Change,
) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		if err := withBudget(ctx, tx, id, work); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

// withBudget is changeBudget, without the notes, in a transaction that is already open.
func withBudget(ctx context.Context, tx *session, id string, work func(context.Context, *session, billing.Budget) error) error {
	b, err := budgetOf(ctx, tx, id)
	if err != nil {
		return err
	}
	if err := work(ctx, tx, b); err != nil {
		return err
	}
	_, err = tx.exec(ctx, raiseVersions, string(b.Scope), b.ScopeID)
	return err
}

// budgetOf returns the budget with an id, or a *billing.NotFoundError.
func budgetOf(ctx context.Context, tx *session, id string) (b billing.Budget, err error) {
	found, err := tx.row(ctx, findBudget, []any{id}, budgetScan(&b)...)
	if err == nil && !found {
		err = &billing.NotFoundError{What: "budget", ID: id}
	}
	return b, err
}

// RemoveBudget implements billing.Limits.
func (s *Store) RemoveBudget(ctx context.Context, id string, notes ...*billing.Change) error {
	return s.changeBudget(ctx, id, func(ctx context.Context, tx *session, _ billing.Budget) error {
		_, err := tx.exec(ctx, archiveBudget, stamp(s.clock()), id)
		return err
	}, notes)
}

// ResetBudget implements billing.Limits.
func (s *Store) ResetBudget(ctx context.Context, id string, now time.Time, notes ...*billing.Change) error {
	return s.changeBudget(ctx, id, func(ctx context.Context, tx *session, b billing.Budget) error {
		w, err := b.Window(now)
		if err != nil {
			return err
		}
		if b.Part == "" {
			_, err = beginCounters(ctx, tx, []billing.HoldLine{{Budget: b, Window: w}})
		}
		if err != nil {
			return err
		}
		_, err = tx.exec(ctx, forgive, id, stamp(w.Start))
		return err
	}, notes)
}

const insertRaise = `INSERT INTO budget_raises (id, budget_id, tokens, nano, requests, begins_at, ends_at, actor, reason, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// raisesNow adds up the raises of a budget that are in force.
const raisesNow = `SELECT sum(tokens), sum(nano), sum(requests), min(ends_at) FROM budget_raises
WHERE budget_id = ? AND begins_at <= strftime('%Y-%m-%dT%H:%M:%fZ', 'now') AND ends_at > strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
HAVING count(*) > 0`

// raised returns what the raises now in force add to the limits of a budget, or nil if there are
// none.
func raised(ctx context.Context, from *session, b billing.Budget) (*billing.Raised, error) {
	var r billing.Raised
	found, err := from.row(ctx, raisesNow, []any{cmp.Or(b.Parent, b.ID)}, &r.By.Tokens, &r.By.Money, &r.By.Requests, instant{&r.Until})
	if err != nil || !found {
		return nil, err
	}
	return &r, nil
}

// RaiseBudget implements billing.Limits.
func (s *Store) RaiseBudget(ctx context.Context, r billing.Raise, notes ...*billing.Change) error {
	return s.changeBudget(ctx, r.BudgetID, func(ctx context.Context, tx *session, b billing.Budget) error {
		return raise(ctx, tx, b, r)
	}, notes)
}

func raise(ctx context.Context, tx *session, b billing.Budget, r billing.Raise) error {
	if err := r.Check(b); err != nil {
		return err
	}
	_, err := tx.exec(ctx, insertRaise, billing.NewID("rais_"), r.BudgetID, r.By.Tokens, int64(r.By.Money), r.By.Requests,
		stamp(r.From), stamp(r.Until), billing.CleanText(r.Actor), billing.CleanText(r.Reason), stamp(r.At))
	return err
}

var errSeen = errors.New("billing/sqlite: the top-up was there before")

// TopUp implements billing.Limits.
func (s *Store) TopUp(ctx context.Context, t billing.TopUp, notes ...*billing.Change) (existed bool, err error) {
	err = s.changeBudget(ctx, t.BudgetID, func(ctx context.Context, tx *session, b billing.Budget) error {
		if err := t.Check(b); err != nil {
			return err
		}
		var before billing.Money
		found, err := tx.row(ctx, findTopUp, []any{t.BudgetID, billing.CleanText(t.Reference)}, &before)
		if err == nil && found {
			err = cmp.Or(t.Same(before), errSeen)
		}
		if err != nil {
			return err
		}
		if _, err := tx.exec(ctx, insertTopUp, billing.NewID("top_"), t.BudgetID, int64(t.Amount), billing.CleanText(t.Reference),
			billing.CleanText(t.Actor), billing.CleanText(t.Reason), stamp(t.At)); err != nil {
			return err
		}
		_, err = tx.exec(ctx, raiseLimit, int64(t.Amount), t.BudgetID)
		return err
	}, notes)
	if errors.Is(err, errSeen) {
		return true, nil
	}
	return false, err
}

// ListBudgets implements billing.Limits.
func (s *Store) ListBudgets(ctx context.Context, f billing.BudgetFilter) ([]billing.Budget, error) {
	q := query{sql: liveBudgets}
	if f.Below != "" {
		q.sql = anyBudget
		q.where("parent_id = ?", f.Below)
	}
	if f.ID != "" {
		q.where("id = ?", f.ID)
	}
	if f.Above && f.Key == "" {
		q.where("scope IN ('org', 'team', 'project')")
	}
	if f.Above && f.Key != "" {
		q.where("(scope IN ('org', 'team', 'project') OR scope = 'key' AND scope_id = ?)", string(f.Key))
	}
	if f.After != "" {
		q.where("id > ?", f.After)
	}
	q.add(" ORDER BY id")
	if f.Limit > 0 {
		q.add(" LIMIT ?", f.Limit)
	}
	var budgets []billing.Budget
	err := s.read.rows(ctx, q.sql, q.args, func(scan scanner) error {
		var b billing.Budget
		err := scan(budgetScan(&b)...)
		budgets = append(budgets, b)
		return err
	})
	return budgets, err
}

// CountBudgets implements billing.Limits.
func (s *Store) CountBudgets(ctx context.Context) (n int64, err error) {
	_, err = s.read.row(ctx, countBudgets, nil, &n)
	return n, err
}

// ownBudgets returns the budgets of the key itself, ready to be stored.
func ownBudgets(k billing.Key) ([]billing.Budget, error) {
	var own []billing.Budget
	for _, b := range k.Budgets {
		if b.Scope != billing.ScopeKey {
			continue
		}
		if err := b.Validate(); err != nil {
			return nil, err
		}
		b.ScopeID = string(k.ID)
		if b.ID == "" {
			b.ID = billing.NewID("bud_")
		}
		own = append(own, b)
	}
	return own, nil
}

const insertBudget = `INSERT INTO budgets (id, scope, scope_id, period, zone, token_limit, amount_nano, created_at, request_limit, starts,
  near_action, thresholds, part, named) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

func addBudget(ctx context.Context, tx *session, b billing.Budget, now time.Time) error {
	_, err := tx.exec(ctx, insertBudget, b.ID, string(b.Scope), b.ScopeID, string(b.Period), b.Zone, b.Tokens, (*int64)(b.Money),
		stamp(now), b.Requests, b.Starts, string(cmp.Or(b.Action, billing.ActionBlock)), b.ThresholdsText(),
		string(b.Part), b.Named)
	return err
}

const (
	scopeOfBudget = `SELECT scope, scope_id, part, named FROM budgets WHERE id = ?`
	updateBudget  = `UPDATE budgets SET period = ?1, zone = ?2, token_limit = ?3, amount_nano = ?4, request_limit = ?5, starts = ?6,
  near_action = ?7, thresholds = ?8, archived_at = NULL WHERE id = ?9 OR parent_id = ?9`
)

// putBudget adds a budget, or replaces the one that has its id.
func putBudget(ctx context.Context, tx *session, b billing.Budget, now time.Time) error {
	var old billing.Budget
	found, err := tx.row(ctx, scopeOfBudget, []any{b.ID}, &old.Scope, &old.ScopeID, &old.Part, &old.Named)
	if err != nil {
		return err
	}
	if !found {
		return addBudget(ctx, tx, b, now)
	}
	if old.Scope != b.Scope || old.ScopeID != b.ScopeID || old.Part != b.Part || old.Named != b.Named {
		return &billing.ConflictError{Detail: fmt.Sprintf("budget %s belongs to %s %s: make a new one for %s %s", b.ID, old.Scope,
			old.ScopeID, b.Scope, b.ScopeID)}
	}
	_, err = tx.exec(ctx, updateBudget, string(b.Period), b.Zone, b.Tokens, (*int64)(b.Money), b.Requests, b.Starts,
		string(cmp.Or(b.Action, billing.ActionBlock)), b.ThresholdsText(), b.ID)
	return err
}

const archiveOthers = `WITH ended AS (
  SELECT id FROM budgets
   WHERE scope = 'key' AND scope_id = ?2 AND parent_id IS NULL AND archived_at IS NULL AND id NOT IN (SELECT value FROM json_each(?3))
)
UPDATE budgets SET archived_at = ?1
WHERE archived_at IS NULL AND id IN (SELECT id FROM ended UNION ALL SELECT c.id FROM budgets c JOIN ended e ON c.parent_id = e.id)`

// replaceBudgets makes own the only budgets of a key: it stores them and archives the others.
func replaceBudgets(ctx context.Context, tx *session, keyID string, own []billing.Budget, now time.Time) error {
	kept := make([]string, 0, len(own))
	for _, b := range own {
		if err := putBudget(ctx, tx, b, now); err != nil {
			return err
		}
		kept = append(kept, b.ID)
	}
	_, err := tx.exec(ctx, archiveOthers, stamp(now), keyID, asJSON(kept))
	return err
}
