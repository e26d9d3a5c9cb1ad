package lease

import (
	"context"
	"fmt"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/journal"
)

// generous is a store that grants whatever it is asked for and keeps nothing.
type generous struct{ Store }

func (generous) Renew(context.Context, billing.Replica, billing.Join) (billing.Heartbeat, error) {
	return billing.Heartbeat{Now: time.Now()}, nil
}

func (generous) Grant(_ context.Context, _ billing.Replica, wants []billing.Want) ([]billing.Granted, bool, error) {
	granted := make([]billing.Granted, len(wants))
	for i, w := range wants {
		granted[i] = billing.Granted{
			Amount: billing.Amount{Tokens: 1 << 50, Money: 1 << 50, Requests: 1 << 50}, Fits: true,
			Balance: billing.Balance{Budget: w.Budget, Window: w.Window},
		}
	}
	return granted, true, nil
}

func (generous) Post(context.Context, billing.Posting) (billing.Posted, error) {
	return billing.Posted{}, nil
}

// holding returns a ledger with a real journal, and a function that holds and settles
// one request for a key with the given number of budgets.
func holding(tb testing.TB, budgets int) (*Ledger, func(n int)) {
	tb.Helper()
	log, err := journal.Open(tb.TempDir(), journal.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	l, err := Open(generous{}, log, Options{Replica: log.ID()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = log.Close() })
	now := time.Now()
	limit := int64(1) << 52
	key := billing.Key{ID: "key_1", ProjectID: "prj_1", TeamID: "team_1", CostCenter: "cc", Environment: "prod"}
	for n := range budgets {
		key.Budgets = append(key.Budgets, billing.Budget{
			ID: fmt.Sprintf("bud_%d", n), Scope: billing.ScopeKey, ScopeID: "key_1", Period: billing.PeriodMonth, Tokens: &limit,
		})
	}
	h := billing.Hold{KeyID: key.ID, Tokens: 100, Money: 1000}
	for _, b := range key.Budgets {
		w, err := b.Window(now)
		if err != nil {
			tb.Fatal(err)
		}
		h.Lines = append(h.Lines, billing.HoldLine{Budget: b, Window: w})
	}
	row := (&walk{key: key}).row("", billing.Amount{Tokens: 70, Money: 700}, now)
	ids := make([]string, 1<<16) // made by whoever takes the request
	for i := range ids {
		ids[i] = fmt.Sprintf("req_%d", i)
	}
	attempts := []billing.Spend{row}
	return l, func(n int) {
		h.ID = ids[n%len(ids)]
		h.IfLost = row
		h.IfLost.RequestID = h.ID
		attempts[0].RequestID = h.ID
		if _, err := l.Reserve(tb.Context(), h, now); err != nil {
			tb.Fatal(err)
		}
		if _, err := l.Settle(tb.Context(), billing.Settlement{HoldID: h.ID, Attempts: attempts}); err != nil {
			tb.Fatal(err)
		}
	}
}

// mostAllocations is what a hold and its settlement may allocate together.
const mostAllocations = 10

func TestHoldAndSettle_Allocations(t *testing.T) {
	l, do := holding(t, 2)
	n := 0
	got := testing.AllocsPerRun(2000, func() {
		do(n)
		if n++; n%1000 == 0 {
			l.queue = l.queue[:0]
		}
	})
	t.Logf("%.1f allocations", got)
	if got > mostAllocations {
		t.Errorf("a hold and its settlement allocate %.1f times; want at most %d", got, mostAllocations)
	}
}

// BenchmarkHoldAndSettle measures the cost of the ledger per request, by the number of
// limits: two appends to a journal on disk, no database.
func BenchmarkHoldAndSettle(b *testing.B) {
	for _, limits := range []int{2, 12} {
		b.Run(fmt.Sprint(limits), func(b *testing.B) {
			l, do := holding(b, limits)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				do(n)
				if n++; n%1000 == 0 { // as the writer does; not part of the measurement
					l.queue = l.queue[:0]
				}
			}
		})
	}
}
