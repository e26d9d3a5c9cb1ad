package billingtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"tallyroute/billing"
)

// world is a store under test, with helpers to fill it.
type world struct {
	*testing.T
	billing.Store
	open Open
	now  time.Time
	ids  *atomic.Int64
}

// noon returns the time at which most cases take place, on a Saturday in March.
func noon() time.Time { return time.Date(2026, 3, 14, 12, 0, 0, 141592000, time.UTC) }

func newWorld(t *testing.T, open Open) *world {
	return &world{T: t, Store: open(t, time.UTC), open: open, now: noon(), ids: new(atomic.Int64)}
}

// in returns another world, whose reports use the named time zone.
func (w *world) in(zone string) *world {
	w.Helper()
	loc, err := time.LoadLocation(zone)
	w.must(err)
	return &world{T: w.T, Store: w.open(w.T, loc), open: w.open, now: w.now, ids: w.ids}
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// wantErr checks that err is target.
func (w *world) wantErr(err, target error) {
	w.Helper()
	if !errors.Is(err, target) {
		w.Errorf("got the error %v, want %v", err, target)
	}
}

// wantNotFound checks that err is a *billing.NotFoundError about what.
func (w *world) wantNotFound(err error, what string) {
	w.Helper()
	var missing *billing.NotFoundError
	if !errors.As(err, &missing) || missing.What != what {
		w.Errorf("got the error %v, want that there is no such %s", err, what)
	}
}

func (w *world) wantConflict(err error) {
	w.Helper()
	var conflict *billing.ConflictError
	if !errors.As(err, &conflict) {
		w.Errorf("got the error %v, want a conflict", err)
	}
}

// wantSame compares two values by their JSON form.
func (w *world) wantSame(what string, got, want any) {
	w.Helper()
	if g, x := text(got), text(want); g != x {
		w.Errorf("%s:\n got %s\nwant %s", what, g, x)
	}
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// id returns an id that is unique in this test.
func (w *world) id(prefix string) string { return fmt.Sprintf("%s_%06d", prefix, w.ids.Add(1)) }

// project finds or creates a project.
func (w *world) project(team, name string) billing.Project {
	w.Helper()
	p, err := w.EnsureProject(w.Context(), billing.Project{Team: team, Name: name, CostCenter: "cc-" + team, Environment: "prod"})
	w.must(err)
	return p
}

// key creates a key in project shop of team web, with budgets of its own.
func (w *world) key(budgets ...billing.Budget) *billing.Key {
	w.Helper()
	return w.keyIn(w.project("web", "shop"), budgets...)
}

func (w *world) keyIn(p billing.Project, budgets ...billing.Budget) *billing.Key {
	w.Helper()
	id := w.id("key")
	k := billing.Key{
		ID: billing.KeyID(id), Name: "name of " + id, Display: "sk-tr-…" + id, ProjectID: p.ID, Budgets: budgets,
		CreatedAt: w.now,
	}
	w.must(w.CreateKey(w.Context(), k, hashOf(id)))
	return w.reread(&k)
}

// reread returns the key as it is now in the store.
func (w *world) reread(k *billing.Key) *billing.Key {
	w.Helper()
	got, err := w.KeyByHash(w.Context(), hashOf(string(k.ID)))
	w.must(err)
	return &got
}

// hashOf stands for the keyed hash of a secret.
func hashOf(id string) (h [32]byte) {
	copy(h[:], id)
	h[31] = 1
	return h
}

// budget adds a budget to the scope and returns its id.
func (w *world) budget(scope billing.Scope, scopeID string, limit amount) string {
	w.Helper()
	b := limit.budget(w.id("bud"))
	b.Scope, b.ScopeID = scope, scopeID
	w.must(w.SetBudget(w.Context(), b, w.now))
	return b.ID
}

// SetBudget calls the function of this name.
func (w *world) SetBudget(ctx context.Context, b billing.Budget, now time.Time) error {
	return SetBudget(ctx, w.Limits, b, now)
}

// SetBudget creates b, or replaces the budget that has its id.
func SetBudget(ctx context.Context, s billing.Limits, b billing.Budget, now time.Time) error {
	_, err := s.UpdateBudget(ctx, b, func(found *billing.Budget, _ bool) error {
		b.ID = found.ID
		*found = b
		return nil
	}, now)
	return err
}

// amount is limited, held or used. In a limit, a negative member means no limit.
type amount struct {
	tokens int64
	money  billing.Money
}

// tokens returns an amount of tokens only, or a limit on tokens only.
func tokens(n int64) amount { return amount{n, -1} }

// budget returns a monthly budget, in UTC, for a key.
func (a amount) budget(id string) billing.Budget {
	b := billing.Budget{ID: id, Scope: billing.ScopeKey, Period: billing.PeriodMonth}
	if a.tokens >= 0 {
		b.Tokens = &a.tokens
	}
	if a.money >= 0 {
		b.Money = &a.money
	}
	return b
}

// hold returns a hold on every budget of the key. If the process dies, all of it is
// charged.
func (w *world) hold(k *billing.Key, a amount) billing.Hold {
	w.Helper()
	return w.holdAt(k, a, w.now)
}

func (w *world) holdAt(k *billing.Key, a amount, now time.Time) billing.Hold {
	w.Helper()
	a.money = max(0, a.money)
	h := billing.Hold{
		ID: w.id("req"), KeyID: k.ID, KeyVersion: k.Version, Tokens: a.tokens, Money: a.money,
		ExpiresAt: now.Add(10 * time.Minute),
	}
	for _, b := range k.Budgets {
		window, err := b.Window(now)
		w.must(err)
		h.Lines = append(h.Lines, billing.HoldLine{Budget: b, Window: window})
	}
	h.IfLost = w.row(k, h.ID, a, now)
	h.IfLost.Status, h.IfLost.UsageSource = billing.StatusInterrupted, billing.Bounded
	return h
}

// row returns the row of a request whose only attempt succeeded.
func (w *world) row(k *billing.Key, request string, a amount, at time.Time) billing.Spend {
	a.money = max(0, a.money)
	return billing.Spend{
		OccurredAt: at, Kind: billing.KindUsage, RequestID: request, Attempt: 1, Final: true, Owner: k.Owner(),
		RequestedModel: "chat", Provider: "demo-a", Model: "small", ServiceTier: "standard",
		RouteReason: billing.RouteCheapest, Status: billing.StatusOK, UsageSource: billing.Reported,
		Tokens:  billing.Tokens{Input: a.tokens / 2, Output: a.tokens - a.tokens/2},
		Pricing: billing.Priced, Price: billing.Price{ID: "price_1", Input: 1, Output: 1},
		Cost: billing.Cost{Input: a.money, Total: a.money}, Baseline: a.money,
	}
}

func (w *world) reserve(h billing.Hold) []billing.Balance {
	w.Helper()
	balances, err := w.Reserve(w.Context(), h, w.now)
	w.must(err)
	return balances
}

// settle settles a hold with one row that used a.
func (w *world) settle(k *billing.Key, h billing.Hold, a amount) []billing.Balance {
	w.Helper()
	balances, err := w.Settle(w.Context(), billing.Settlement{
		HoldID:   h.ID,
		Attempts: []billing.Spend{w.row(k, h.ID, a, h.IfLost.OccurredAt)},
	})
	w.must(err)
	return balances
}

// use holds and settles a at the given time.
func (w *world) use(k *billing.Key, a amount, at time.Time) {
	w.Helper()
	h := w.holdAt(k, a, at)
	_, err := w.Reserve(w.Context(), h, at)
	w.must(err)
	w.settle(k, h, a)
}

// wantRefused checks that err is a refusal by the budget.
func (w *world) wantRefused(err error, budget string) {
	w.Helper()
	_ = w.refusal(err, budget)
}

func (w *world) refusal(err error, budget string) *billing.QuotaError {
	w.Helper()
	var refused *billing.QuotaError
	if !errors.As(err, &refused) {
		w.Fatalf("got the error %v, want a refusal by %s", err, budget)
	}
	if refused.Balance.Budget.ID != budget {
		w.Errorf("refused by %s, want %s", refused.Balance.Budget.ID, budget)
	}
	return refused
}

// standing is what was used and is held of a budget.
type standing struct{ used, held amount }

// wantStanding checks the balance of one of the key's budgets at the given time.
func (w *world) wantStanding(k *billing.Key, budget string, at time.Time, want standing) {
	w.Helper()
	balances, err := w.Balances(w.Context(), k, at)
	w.must(err)
	for _, b := range balances {
		if b.Budget.ID == budget {
			if got := standingOf(b); got != want {
				w.Errorf("%s stands at %+v, want %+v", budget, got, want)
			}
			return
		}
	}
	w.Errorf("no balance of %s in %v", budget, balances)
}

func standingOf(b billing.Balance) standing {
	return standing{amount{b.UsedTokens, b.UsedMoney}, amount{b.HeldTokens, b.HeldMoney}}
}

// events returns the rows of a key, newest first.
func (w *world) events(k *billing.Key) []billing.Spend {
	w.Helper()
	rows, err := w.Events(w.Context(), billing.EventQuery{KeyID: k.ID, Limit: 1000})
	w.must(err)
	return rows
}

// each calls do n times concurrently and waits for all calls to return.
func each(ctx context.Context, n int, do func(ctx context.Context, i int)) {
	done := make(chan struct{})
	for i := range n {
		go func() {
			defer func() { done <- struct{}{} }()
			do(ctx, i)
		}()
	}
	for range n {
		<-done
	}
}
