package lease

import (
	"context"
	"errors"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/journal"
)

// stopRig is a ledger whose store grants everything and takes every posting,
// but only when it is told to, and a key with one budget.
type stopRig struct {
	*Ledger
	t     *testing.T
	key   billing.Key
	posts *[]billing.Posting
	n     int
}

type noting struct {
	generous
	posts *[]billing.Posting
}

func (s noting) Post(_ context.Context, p billing.Posting) (billing.Posted, error) {
	*s.posts = append(*s.posts, p)
	return billing.Posted{Inserted: len(p.Rows)}, nil
}

func newStopRig(t *testing.T, budgets ...billing.Budget) *stopRig {
	t.Helper()
	log, err := journal.Open(t.TempDir(), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	posts := new([]billing.Posting)
	l, err := Open(noting{posts: posts}, log, Options{Replica: log.ID(), Overrun: billing.DefaultOverrunLimit()})
	if err != nil {
		t.Fatal(err)
	}
	return &stopRig{Ledger: l, t: t, posts: posts, key: billing.Key{ID: "key_1", Version: 7, Budgets: budgets}}
}

// begin holds for one request, or says why not.
func (r *stopRig) begin() (settle func(over billing.Amount), err error) {
	r.t.Helper()
	r.n++
	now := time.Now()
	row := (&walk{key: r.key}).row("req_"+string(rune('a'+r.n)), billing.Amount{Tokens: 70, Money: 700}, now)
	lines, err := r.key.Lines(now)
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = r.Reserve(r.t.Context(), billing.Hold{
		ID: row.RequestID, KeyID: r.key.ID, KeyVersion: r.key.Version, Lines: lines, Tokens: 100, Money: 1000, IfLost: row,
		Overrun: r.key.Overrun, EnabledAt: r.key.EnabledAt,
	}, now)
	return func(over billing.Amount) {
		r.t.Helper()
		row.OverrunTokens, row.OverrunMoney = over.Tokens, over.Money
		if _, err := r.Settle(r.t.Context(), billing.Settlement{HoldID: row.RequestID, Attempts: []billing.Spend{row}}); err != nil {
			r.t.Fatal(err)
		}
	}, err
}

func (r *stopRig) want(want error) {
	r.t.Helper()
	settle, err := r.begin()
	if !errors.Is(err, want) {
		r.t.Fatalf("got %v, want %v", err, want)
	}
	if err == nil {
		settle(billing.Amount{})
	}
}

func dollars(n billing.Money) billing.Amount { return billing.Amount{Money: n * billing.NanoPerUSD} }

func thousand(scope billing.Scope) billing.Budget {
	limit := billing.Money(1000 * billing.NanoPerUSD)
	return billing.Budget{ID: "bud_1", Scope: scope, ScopeID: "key_1", Period: billing.PeriodMonth, Money: &limit}
}

// TestOverrunStopsItsKeyBeforeTheDatabaseKnows: no request begins after an overrun that stops the
// key was seen, and those in flight are settled.
func TestOverrunStopsItsKeyBeforeTheDatabaseKnows(t *testing.T) {
	r := newStopRig(t, thousand(billing.ScopeKey))
	first, err := r.begin()
	second, err2 := r.begin()
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	first(dollars(1))
	r.want(nil)
	second(dollars(1))
	r.want(billing.ErrStopped)
	for r.round(t.Context()) {
	}
	r.want(billing.ErrStopped) // with what was read before
	r.key.Version++
	r.want(nil) // what the database says now is for the verifier
}

// TestOverrunCountsWithWhatTheKeyHadBefore: overruns from other processes, and from before this
// one started, count as well.
func TestOverrunCountsWithWhatTheKeyHadBefore(t *testing.T) {
	r := newStopRig(t, thousand(billing.ScopeKey))
	r.key.Overrun = dollars(1)
	settle, err := r.begin()
	if err != nil {
		t.Fatal(err)
	}
	settle(billing.Amount{Money: 1})
	r.want(billing.ErrStopped)
}

func TestEnabledKeyGoesOnAtOnce(t *testing.T) {
	r := newStopRig(t, thousand(billing.ScopeOrg))
	settle, err := r.begin()
	if err != nil {
		t.Fatal(err)
	}
	settle(dollars(2))
	r.want(billing.ErrStopped)
	r.key.EnabledAt = time.Now()
	r.want(nil)
}

func TestKeyWithoutABudgetIsNotStopped(t *testing.T) {
	r := newStopRig(t)
	settle, err := r.begin()
	if err != nil {
		t.Fatal(err)
	}
	settle(dollars(2))
	r.want(nil)
}

// TestDenialIsPostedOnce: a denial is posted once, with or without rows.
func TestDenialIsPostedOnce(t *testing.T) {
	r := newStopRig(t)
	refused := &billing.QuotaError{Balance: billing.Balance{Budget: thousand(billing.ScopeKey)}}
	for range 3 {
		r.denied(billing.Hold{ID: "req_1", KeyID: "key_1"}, refused, time.Now())
	}
	for r.round(t.Context()) {
	}
	if len(*r.posts) != 1 || len((*r.posts)[0].Events) != 1 || (*r.posts)[0].Events[0].Kind != billing.EventDenied {
		t.Errorf("posted %+v", *r.posts)
	}
}
