package billingtest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"tallyroute/billing"
)

// The cases of a suite are written for budgets limited in tokens, or in both
// tokens and dollars. A group whose cases hold for any limit is run as written;
// mirrored, with tokens and dollars swapped, so that limits in tokens only
// become limits in dollars only; and some groups also filled, with a limit that
// never binds wherever none is set.

// group is some of the cases of a suite.
type group struct {
	name  string
	cases map[string]func(w *world)
	not   []string // cases that are left out
	// anyLimit says that the cases may be run with other limits as well, except those in
	// asWritten, which look at the meters of rows or at the limits of what can be stored.
	anyLimit  bool
	asWritten []string
}

// run runs the cases of groups with every kind of limit.
func run(t *testing.T, open Open, groups []group) {
	for _, g := range groups {
		for _, name := range g.not {
			delete(g.cases, name)
		}
		t.Run(g.name, func(t *testing.T) { g.run(t, open) })
		if !g.anyLimit {
			continue
		}
		for _, name := range g.asWritten {
			delete(g.cases, name)
		}
		t.Run(g.name+"Mirrored", func(t *testing.T) { g.run(t, changed(open, mirrored)) })
		if g.name == "Holds" || g.name == "Races" || g.name == "Random" { // the others would show nothing more
			t.Run(g.name+"Filled", func(t *testing.T) { g.run(t, changed(open, filled)) })
		}
	}
}

func (g group) run(t *testing.T, open Open) {
	for name, test := range g.cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newWorld(t, open))
		})
	}
}

func changed(open Open, change func(billing.Store) billing.Store) Open {
	return func(t *testing.T, reporting *time.Location) billing.Store { return change(open(t, reporting)) }
}

// translated is a store whose callers use other meters than it does.
type translated struct {
	billing.Store
	in, out func(billing.Budget) billing.Budget
	amounts func(tokens int64, money billing.Money) (int64, billing.Money)
	row     func(billing.Spend) billing.Spend
}

func mirrored(s billing.Store) billing.Store {
	return s.With(translated{s, swapBudget, swapBudget, swapAmounts, swapRow})
}

func filled(s billing.Store) billing.Store {
	same := func(tokens int64, money billing.Money) (int64, billing.Money) { return tokens, money }
	return s.With(translated{s, fillBudget, drainBudget, same, func(s billing.Spend) billing.Spend { return s }})
}

// inner returns a store without its translation.
func inner(s billing.Store) billing.Store {
	if t, ok := s.Database.(translated); ok {
		return t.Store
	}
	return s
}

func swapAmounts(tokens int64, money billing.Money) (int64, billing.Money) {
	return int64(money), billing.Money(tokens)
}

func swapBudget(b billing.Budget) billing.Budget {
	b.Tokens, b.Money = (*int64)(b.Money), (*billing.Money)(b.Tokens)
	return b
}

// swapRow swaps the meters of tokens and of money. Savings stay as they are.
func swapRow(s billing.Spend) billing.Spend {
	t, c := s.Tokens, s.Cost
	saved := s.Baseline - c.Total
	s.Tokens.Input, s.Tokens.CacheRead, s.Tokens.CacheWrite, s.Tokens.Output = int64(c.Input), int64(c.CacheRead), int64(c.CacheWrite),
		int64(c.Output)
	s.Cost = billing.Cost{
		Input: billing.Money(t.Input), CacheRead: billing.Money(t.CacheRead), CacheWrite: billing.Money(t.CacheWrite),
		Output: billing.Money(t.Output),
		Total:  billing.Money(t.Total()),
	}
	s.Baseline = s.Cost.Total + saved
	s.OverrunTokens, s.OverrunMoney = swapAmounts(s.OverrunTokens, s.OverrunMoney)
	return s
}

// The largest possible limits.
const (
	mostTokens int64         = 1_000_000_000_000_000
	mostMoney  billing.Money = 1_000_000_000_000_000_000
)

func fillBudget(b billing.Budget) billing.Budget {
	tokens, money := mostTokens, mostMoney
	if b.Tokens == nil {
		b.Tokens = &tokens
	}
	if b.Money == nil {
		b.Money = &money
	}
	return b
}

func drainBudget(b billing.Budget) billing.Budget {
	if b.Tokens != nil && *b.Tokens == mostTokens {
		b.Tokens = nil
	}
	if b.Money != nil && *b.Money == mostMoney {
		b.Money = nil
	}
	return b
}

func eachOf[T any](all []T, change func(T) T) []T {
	all = slices.Clone(all)
	for i := range all {
		all[i] = change(all[i])
	}
	return all
}

func (t translated) key(k billing.Key, change func(billing.Budget) billing.Budget) billing.Key {
	k.Budgets = eachOf(k.Budgets, change)
	return k
}

func (t translated) balance(b billing.Balance) billing.Balance {
	b.Budget = t.out(b.Budget)
	b.UsedTokens, b.UsedMoney = t.amounts(b.UsedTokens, b.UsedMoney)
	b.HeldTokens, b.HeldMoney = t.amounts(b.HeldTokens, b.HeldMoney)
	return b
}

// answer translates the balances and the error that a store returned.
func (t translated) answer(balances []billing.Balance, err error) ([]billing.Balance, error) {
	var refused *billing.QuotaError
	if errors.As(err, &refused) {
		q := *refused
		q.Balance, q.All = t.balance(q.Balance), eachOf(q.All, t.balance)
		q.AskedTokens, q.AskedMoney = t.amounts(q.AskedTokens, q.AskedMoney)
		err = &q
	}
	return eachOf(balances, t.balance), err
}

func (t translated) CreateKey(ctx context.Context, k billing.Key, hash [32]byte, notes ...*billing.Change) error {
	return t.Store.CreateKey(ctx, t.key(k, t.in), hash, notes...)
}

func (t translated) KeyByHash(ctx context.Context, hash [32]byte) (billing.Key, error) {
	k, err := t.Store.KeyByHash(ctx, hash)
	return t.key(k, t.out), err
}

func (t translated) UpdateKey(ctx context.Context, id billing.KeyID, change func(*billing.Key) error, notes ...*billing.Change) (
	billing.Key, error,
) {
	k, err := t.Store.UpdateKey(ctx, id, func(k *billing.Key) error {
		out := t.key(*k, t.out)
		err := change(&out)
		*k = t.key(out, t.in)
		return err
	}, notes...)
	return t.key(k, t.out), err
}

func (t translated) ListKeys(ctx context.Context, f billing.KeyFilter) ([]billing.Key, error) {
	keys, err := t.Store.ListKeys(ctx, f)
	return eachOf(keys, func(k billing.Key) billing.Key { return t.key(k, t.out) }), err
}

func (t translated) UpdateBudget(ctx context.Context, b billing.Budget, change billing.BudgetChange, now time.Time,
	notes ...*billing.Change,
) (billing.Budget, error) {
	b, err := t.Store.UpdateBudget(ctx, t.in(b), func(b *billing.Budget, existed bool) error {
		out := t.out(*b)
		err := change(&out, existed)
		*b = t.in(out)
		return err
	}, now, notes...)
	return t.out(b), err
}

func (t translated) ListBudgets(ctx context.Context, f billing.BudgetFilter) ([]billing.Budget, error) {
	budgets, err := t.Store.ListBudgets(ctx, f)
	return eachOf(budgets, t.out), err
}

func (t translated) Reserve(ctx context.Context, h billing.Hold, now time.Time) ([]billing.Balance, error) {
	h.Lines = eachOf(h.Lines, func(l billing.HoldLine) billing.HoldLine {
		l.Budget = t.in(l.Budget)
		return l
	})
	h.Tokens, h.Money = t.amounts(h.Tokens, h.Money)
	h.HeadroomTokens, h.HeadroomMoney = t.amounts(h.HeadroomTokens, h.HeadroomMoney)
	h.IfLost = t.row(h.IfLost)
	return t.answer(t.Store.Reserve(ctx, h, now))
}

func (t translated) Retry(ctx context.Context, holdID string, more billing.Amount, ifLost []billing.Spend) error {
	more.Tokens, more.Money = t.amounts(more.Tokens, more.Money)
	_, err := t.answer(nil, t.Store.Retry(ctx, holdID, more, eachOf(ifLost, t.row)))
	return err
}

func (t translated) Settle(ctx context.Context, s billing.Settlement) ([]billing.Balance, error) {
	s.Attempts = eachOf(s.Attempts, t.row)
	return t.answer(t.Store.Settle(ctx, s))
}

func (t translated) Balances(ctx context.Context, k *billing.Key, now time.Time) ([]billing.Balance, error) {
	in := t.key(*k, t.in)
	return t.answer(t.Store.Balances(ctx, &in, now))
}

func (t translated) Events(ctx context.Context, q billing.EventQuery) ([]billing.Spend, error) {
	rows, err := t.Store.Events(ctx, q)
	return eachOf(rows, t.row), err
}

// tells reports whether the meters in reports are the same as in rows.
func tells(s billing.Store) bool {
	_, other := s.Database.(translated)
	return !other
}
