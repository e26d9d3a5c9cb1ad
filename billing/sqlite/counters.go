package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tallyroute/billing"
)

// windows names the counters of some lines in two JSON lists, the form in which holds store them
// and statements take them.
type windows struct{ budgets, starts string }

func windowsOf(lines []billing.HoldLine) windows {
	budgets, starts := make([]string, len(lines)), make([]string, len(lines))
	for i, l := range lines {
		budgets[i], starts[i] = l.Budget.ID, stamp(l.Window.Start)
	}
	return windows{asJSON(budgets), asJSON(starts)}
}

// Whatever replicas have leased counts as held. selectBusy, which is for display, counts only
// the part of the leases that is in use.
const (
	selectCounters = `SELECT b.key, c.window_end, c.used_tokens, c.held_tokens + c.leased_tokens, c.used_nano, c.held_nano + ` +
		`c.leased_nano, c.used_requests, c.held_requests + c.leased_requests` + fromCounters
	selectBusy = `SELECT b.key, c.window_end, c.used_tokens, c.held_tokens + coalesce((SELECT sum(busy_tokens)` + fromLeases + `), 0),
  c.used_nano, c.held_nano + coalesce((SELECT sum(busy_nano)` + fromLeases + `), 0),
  c.used_requests, c.held_requests + coalesce((SELECT sum(busy_requests)` + fromLeases + `), 0)` + fromCounters
	fromCounters = ` FROM json_each(?1) b JOIN budget_counters c ON c.budget_id = b.value AND c.window_start = ?2 ->> b.key`
	fromLeases   = ` FROM leases l WHERE l.budget_id = c.budget_id AND l.window_start = c.window_start`
)

// standing reads the balances of lines. If a window has no counter yet, its balance is taken
// from the ledger and its index is listed in missing.
func standing(ctx context.Context, from *session, query string, lines []billing.HoldLine) (balances []billing.Balance, missing []int,
	err error,
) {
	balances = make([]billing.Balance, len(lines))
	found := make([]bool, len(lines))
	for i, l := range lines {
		balances[i] = billing.Balance{Budget: l.Budget, Window: l.Window}
	}
	w := windowsOf(lines)
	err = from.rows(ctx, query, []any{w.budgets, w.starts}, func(scan scanner) error {
		var i int
		var end string
		var c billing.Balance
		if err := scan(&i, &end, &c.UsedTokens, &c.HeldTokens, &c.UsedMoney, &c.HeldMoney, &c.UsedRequests, &c.HeldRequests); err != nil {
			return err
		}
		// Before its period was changed, the budget may have had another window with this start.
		// Whatever was held in that one is still held.
		found[i] = end == stampEnd(lines[i].Window.End)
		c.Budget, c.Window = lines[i].Budget, lines[i].Window
		balances[i] = c
		return nil
	})
	for i := range lines {
		if err == nil && !found[i] {
			missing = append(missing, i)
			err = spent(ctx, from, &balances[i])
		}
	}
	return balances, missing, err
}

// spentBy adds up what a scope has used between two instants. Archived rows count through the
// sums kept of them; rejected rows count until they are booked.
var spentBy = map[billing.Scope]string{
	billing.ScopeKey:     spentBetween("key_id = ?3"),
	billing.ScopeProject: spentBetween("project_id = ?3"),
	billing.ScopeTeam:    spentBetween("team_id = ?3"),
	billing.ScopeOrg:     spentBetween("'org' = ?3"),
}

// spentByPart is spentBy for the budget of a part.
var spentByPart = spentBetween("EXISTS (SELECT 1 FROM json_each(limits) l WHERE l.value = ?3)")

func spentBetween(scope string) string {
	return `SELECT coalesce(sum(tokens), 0), coalesce(sum(nano), 0), coalesce(sum(requests), 0) FROM (
  SELECT input_tokens + cache_read_tokens + cache_write_tokens + output_tokens AS tokens, cost_nano AS nano,
    kind = 'usage' AND final AS requests
    FROM spend_events WHERE occurred_at >= ?1 AND occurred_at < ?2 AND ` + scope + `
  UNION ALL
  SELECT tokens, nano, requests FROM (SELECT *, NULL AS limits FROM spend_archived) WHERE slot >= ?1 AND slot < ?2 AND ` + scope + `
  UNION ALL
  SELECT tokens, nano, requests FROM spend_rejects WHERE booked_at IS NULL AND occurred_at >= ?1 AND occurred_at < ?2 AND ` + scope + `
)`
}

// spent fills in the usage of a balance from the ledger.
func spent(ctx context.Context, from *session, b *billing.Balance) error {
	query, ok := spentBy[b.Budget.Scope]
	if !ok {
		return fmt.Errorf("billing/sqlite: budget %s has no scope %q", b.Budget.ID, b.Budget.Scope)
	}
	of := b.Budget.ScopeID
	if b.Budget.Part != "" {
		query, of = spentByPart, b.Budget.ID
	}
	var used billing.Amount
	_, err := from.row(ctx, query, []any{stamp(b.Window.Start), stampEnd(b.Window.End), of},
		&used.Tokens, &used.Money, &used.Requests)
	*b = b.Stands(used.AsUsed(), b.Held())
	return err
}

const putCounter = `INSERT INTO budget_counters (budget_id, window_start, window_end, used_tokens, used_nano, used_requests)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET window_end = excluded.window_end, used_tokens = excluded.used_tokens, used_nano = excluded.used_nano,
  used_requests = excluded.used_requests, forgiven_tokens = 0, forgiven_nano = 0, forgiven_requests = 0`

// beginCounters reads the balances of lines and creates the missing counters.
func beginCounters(ctx context.Context, tx *session, lines []billing.HoldLine) ([]billing.Balance, error) {
	balances, missing, err := standing(ctx, tx, selectCounters, lines)
	for _, i := range missing {
		if err != nil {
			break
		}
		b := balances[i]
		if err = makeBelow(ctx, tx, b.Budget); err != nil {
			break
		}
		_, err = tx.exec(ctx, putCounter, b.Budget.ID, stamp(b.Window.Start), stampEnd(b.Window.End), b.UsedTokens, int64(b.UsedMoney),
			b.UsedRequests)
	}
	return balances, err
}

const addHeld = `UPDATE budget_counters SET held_tokens = held_tokens + ?1, held_nano = held_nano + ?2, held_requests = held_requests + ?3
WHERE (budget_id, window_start) IN (SELECT b.value, ?5 ->> b.key FROM json_each(?4) b)`

// hold adds an amount to what counters hold; a negative amount reduces it.
func hold(ctx context.Context, tx *session, w windows, a billing.Amount) error {
	_, err := tx.exec(ctx, addHeld, a.Tokens, int64(a.Money), a.Requests, w.budgets, w.starts)
	return err
}

// addUsed searches by the end of a window, because few windows have yet to end.
var addUsed = `UPDATE budget_counters INDEXED BY budget_counters_end SET
  used_tokens = ` + usedSum("used_tokens + ?1", billing.MostUsed().Tokens) + `,
  used_nano   = ` + usedSum("used_nano + ?2", int64(billing.MostUsed().Money)) + `,
  used_requests = used_requests + ?7
WHERE budget_id IN (
    SELECT id FROM budgets
     WHERE (scope, scope_id) IN (VALUES ('key', ?3), ('project', ?4), ('team', ?5), ('org', 'org')) AND parent_id IS NULL
    UNION SELECT value FROM json_each(?8))
  AND window_start <= ?6 AND window_end > ?6`

// usedSum clamps a sum to the range that a counter can store.
func usedSum(sum string, most int64) string {
	return fmt.Sprintf("min(max(%s, -%d), %d)", sum, most, most)
}

// charges are what rows are to add to counters. Rows that add to the same ones are charged
// together.
type charges map[belongs]billing.Amount

// add charges a row to every counter selected by its owner, its limits and its time. The minute is
// enough: every window begins and ends with one.
func (c charges) add(row billing.Spend) {
	o := belongs{row.Owner, asJSON(row.Limits), stamp(row.OccurredAt.Truncate(time.Minute))}
	c[o] = c[o].Plus(row.Used())
}

func (c charges) post(ctx context.Context, tx *session) error {
	for o, used := range c {
		if err := charge(ctx, tx, o, used); err != nil {
			return err
		}
	}
	return nil
}

// belongs selects the counters that an amount is charged to.
type belongs struct {
	billing.Owner
	limits string // ids of the budgets of parts, as a JSON list
	at     string
}

// charge adds an amount to every counter that o selects.
func charge(ctx context.Context, tx *session, o belongs, used billing.Amount) error {
	if used == (billing.Amount{}) {
		return nil
	}
	_, err := tx.exec(ctx, addUsed, used.Tokens, int64(used.Money), string(o.KeyID), o.ProjectID, o.TeamID, o.at,
		used.Requests, o.limits)
	return err
}

const selectBalances = `SELECT g.id, g.scope, g.scope_id, g.period, g.zone, g.token_limit, g.amount_nano, g.request_limit,
  g.starts, g.near_action, g.thresholds, g.part, g.named, g.parent_id,
  c.window_start, c.window_end, c.used_tokens, c.held_tokens + c.leased_tokens, c.used_nano, c.held_nano + c.leased_nano,
  c.used_requests, c.held_requests + c.leased_requests
FROM json_each(?1) b
JOIN budgets_now g ON g.id = b.value AND g.archived_at IS NULL
JOIN budget_counters c ON c.budget_id = b.value AND c.window_start = ?2 ->> b.key
ORDER BY g.id`

// balancesOf returns the balances of a hold's budgets in the windows of the hold.
func balancesOf(ctx context.Context, tx *session, w windows) ([]billing.Balance, error) {
	var balances []billing.Balance
	err := tx.rows(ctx, selectBalances, []any{w.budgets, w.starts}, func(scan scanner) error {
		var b billing.Balance
		err := scan(append(budgetScan(&b.Budget), instant{&b.Window.Start}, instant{&b.Window.End},
			&b.UsedTokens, &b.HeldTokens, &b.UsedMoney, &b.HeldMoney, &b.UsedRequests, &b.HeldRequests)...)
		balances = append(balances, b)
		return err
	})
	return balances, err
}

// Balances implements billing.Ledger.
func (s *Store) Balances(ctx context.Context, k *billing.Key, now time.Time) ([]billing.Balance, error) {
	lines := make([]billing.HoldLine, len(k.Budgets))
	for i, b := range k.Budgets {
		window, err := b.Window(now)
		if err != nil {
			return nil, err
		}
		lines[i] = billing.HoldLine{Budget: b, Window: window}
	}
	balances, _, err := standing(ctx, s.read, selectBusy, lines)
	for i, b := range balances {
		now, err := currentBudget(ctx, s.read, b.Budget.ID)
		if err == nil {
			balances[i].Budget = now
			balances[i].Raised, err = raised(ctx, s.read, now)
		}
		if err != nil && !errors.Is(err, billing.ErrStaleKey) {
			return nil, err
		}
	}
	return balances, err
}

// refusal returns an error for the first balance that a hold does not fit into, or nil if it
// fits into all of them.
func refusal(h billing.Hold, balances []billing.Balance) *billing.QuotaError {
	for _, b := range balances {
		if !b.Fits(h.Asked()) {
			return billing.Refuse(b, balances, h.Asked())
		}
	}
	return nil
}
