package sqlite

import (
	"context"
	"fmt"
	"time"

	"tallyroute/billing"
)

// exactFor is how long a window is granted in single holds once somebody ran dry.
const exactFor = 5 * time.Second

const (
	selectReplica = `SELECT posted_seq FROM replicas WHERE id = ? AND epoch = ?`
	selectExact   = `SELECT exact_until FROM budget_counters WHERE budget_id = ? AND window_start = ?`
	selectMine    = `SELECT tokens, nano FROM leases WHERE budget_id = ? AND window_start = ? AND replica_id = ? AND epoch = ?`
	// selectIdle asks for what others that are alive do not use.
	selectIdle = `SELECT 1 FROM leases l JOIN replicas p ON p.id = l.replica_id AND p.epoch = l.epoch AND p.expires_at > ?1
WHERE l.budget_id = ?2 AND l.window_start = ?3 AND (l.replica_id <> ?4 OR l.epoch <> ?5)
  AND (?6 AND l.tokens > l.busy_tokens OR ?7 AND l.nano > l.busy_nano) LIMIT 1`
	addLeased = `UPDATE budget_counters SET leased_tokens = leased_tokens + ?, leased_nano = leased_nano + ? WHERE budget_id = ? AND ` +
		`window_start = ?`
	addLease = `INSERT INTO leases (budget_id, window_start, replica_id, epoch, tokens, nano, busy_tokens, busy_nano)
	  VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET tokens = tokens + excluded.tokens, nano = nano + excluded.nano,
  busy_tokens = min(busy_tokens + excluded.busy_tokens, tokens + excluded.tokens),
    busy_nano = min(busy_nano + excluded.busy_nano, nano + excluded.nano)`
	markExact = `UPDATE budget_counters SET exact_until = ? WHERE budget_id = ? AND window_start = ?`
)

// Grant implements billing.Allowances. Beyond what is needed, so much is granted
// that one sixteenth of what is left at most lies idle with the asker: the end
// of a budget is shared in single holds, and a process that dies takes little
// with it.
func (s *Store) Grant(ctx context.Context, r billing.Replica, wants []billing.Want) (granted []billing.Granted, ok bool, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		var seq int64
		known, err := tx.row(ctx, selectReplica, []any{r.ID, r.Epoch}, &seq)
		if err != nil {
			return err
		}
		if !known {
			return fmt.Errorf("billing/sqlite: %w: %s", billing.ErrFenced, r.ID)
		}
		g := granting{tx: tx, r: r, now: s.clock()}
		granted, ok, err = g.all(ctx, wants)
		for i := range granted {
			granted[i].Seq = seq
		}
		return err
	})
	return granted, ok, err
}

// granting is a grant under way.
type granting struct {
	tx  *session
	r   billing.Replica
	now time.Time
}

func (g granting) all(ctx context.Context, wants []billing.Want) ([]billing.Granted, bool, error) {
	lines := make([]billing.HoldLine, len(wants))
	for i, w := range wants {
		lines[i] = w.HoldLine
	}
	balances, err := beginCounters(ctx, g.tx, lines)
	if err != nil {
		return nil, false, err
	}
	granted, ok := make([]billing.Granted, len(wants)), true
	for i, w := range wants {
		if balances[i].Budget, err = currentBudget(ctx, g.tx, w.Budget.ID); err != nil {
			return nil, false, err
		}
		if granted[i], err = g.judge(ctx, w, balances[i]); err != nil {
			return nil, false, err
		}
		ok = ok && granted[i].Fits
	}
	for i := range granted {
		do := g.lease
		if !ok {
			do = g.mark
		}
		if err := do(ctx, wants[i], &granted[i]); err != nil {
			return nil, false, err
		}
	}
	return granted, ok, nil
}

const selectBudget = `SELECT id, scope, scope_id, period, zone, token_limit, amount_nano FROM budgets WHERE id = ? AND archived_at IS NULL`

// currentBudget is a budget as it is now, whatever the caller remembers.
func currentBudget(ctx context.Context, tx *session, id string) (b billing.Budget, err error) {
	found, err := tx.row(ctx, selectBudget, []any{id}, &b.ID, &b.Scope, &b.ScopeID, &b.Period, &b.Zone, &b.Tokens, &b.Money)
	if err == nil && !found {
		err = billing.ErrStaleKey
	}
	return b, err
}

// judge says what a window has for a want, and changes nothing.
func (g granting) judge(ctx context.Context, w billing.Want, b billing.Balance) (billing.Granted, error) {
	out := billing.Granted{Balance: b, Fits: true}
	start := stamp(w.Window.Start)
	var until string
	if _, err := g.tx.row(ctx, selectExact, []any{w.Budget.ID, start}, &until); err != nil {
		return out, err
	}
	if _, err := g.tx.row(ctx, selectMine, []any{w.Budget.ID, start, g.r.ID, g.r.Epoch}, &out.Leased.Tokens,
		&out.Leased.Money); err != nil {
		return out, err
	}
	out.Exact = until > stamp(g.now)
	need := w.Need.AtMost(billing.MostHeld())
	idle := w.Idle.AtLeast(billing.Amount{})
	wish := w.Wish.AtMost(billing.MostHeld()).Minus(idle).AtLeast(need)
	tokens := share{
		limit: b.Budget.Tokens, spoken: b.UsedTokens + b.HeldTokens, exact: out.Exact,
		need: need.Tokens, head: w.Headroom.Tokens, wish: wish.Tokens, idle: idle.Tokens,
	}
	money := share{
		limit: (*int64)(b.Budget.Money), spoken: int64(b.UsedMoney + b.HeldMoney), exact: out.Exact,
		need: int64(need.Money), head: int64(w.Headroom.Money), wish: int64(wish.Money), idle: int64(idle.Money),
	}
	out.Amount = billing.Amount{Tokens: tokens.amount(), Money: billing.Money(money.amount())}
	if out.Fits = tokens.fits() && money.fits(); out.Fits {
		return out, nil
	}
	var one int
	var err error
	out.Idle, err = g.tx.row(ctx, selectIdle, []any{
		stamp(g.now), w.Budget.ID, start, g.r.ID, g.r.Epoch, !tokens.fits(),
		!money.fits(),
	}, &one)
	return out, err
}

// share is one member of a want and of the window that it is asked of.
type share struct {
	limit                          *int64
	spoken, need, head, wish, idle int64
	exact                          bool
}

// left is what nobody has a claim on once the need is met.
func (s share) left() int64 { return *s.limit - s.spoken - s.need }

func (s share) fits() bool { return s.limit == nil || s.left() >= s.head }

func (s share) amount() int64 {
	switch {
	case s.limit == nil:
		return s.wish
	case s.exact:
		return s.need
	}
	return s.need + min(s.wish-s.need, max(s.left()/16-s.idle, 0))
}

// mark makes others give back what lies idle.
func (g granting) mark(ctx context.Context, w billing.Want, out *billing.Granted) error {
	out.Amount = billing.Amount{}
	if !out.Idle {
		return nil
	}
	_, err := g.tx.exec(ctx, markExact, stamp(g.now.Add(exactFor)), w.Budget.ID, stamp(w.Window.Start))
	return err
}

// lease moves what was granted.
func (g granting) lease(ctx context.Context, w billing.Want, out *billing.Granted) error {
	start := stamp(w.Window.Start)
	out.Balance.HeldTokens += out.Amount.Tokens
	out.Balance.HeldMoney += out.Amount.Money
	out.Leased = out.Leased.Plus(out.Amount)
	if out.Amount == (billing.Amount{}) {
		return nil
	}
	_, err := g.tx.exec(ctx, addLeased, out.Amount.Tokens, int64(out.Amount.Money), w.Budget.ID, start)
	if err == nil {
		_, err = g.tx.exec(ctx, addLease, w.Budget.ID, start, g.r.ID, g.r.Epoch, out.Amount.Tokens, int64(out.Amount.Money),
			min(w.Need.Tokens, out.Amount.Tokens), min(int64(w.Need.Money), int64(out.Amount.Money)))
	}
	return err
}
