package sqlite

import (
	"slices"
	"testing"
	"time"

	"tallyroute/billing"
)

// TestBudgetStatusIsTheBalance checks that the budget status that finance reads equals the
// balance that decides on requests, for every period, used or not.
func TestBudgetStatusIsTheBalance(t *testing.T) {
	var budgets []billing.Budget
	limit := int64(1_000_000)
	for _, period := range []billing.Period{
		billing.PeriodDay, billing.PeriodWeek, billing.PeriodMonth, billing.PeriodQuarter, billing.PeriodYear, billing.PeriodOnce,
	} {
		budgets = append(budgets, billing.Budget{ID: "bud_" + string(period), Scope: billing.ScopeKey, Period: period, Tokens: &limit})
	}
	s, k := fresh(t, budgets...)
	now := time.Now()
	compare := func(used int64) {
		t.Helper()
		balances, err := s.Balances(t.Context(), k, now)
		if err != nil || len(balances) != len(budgets) {
			t.Fatalf("%d balances, %v", len(balances), err)
		}
		for _, b := range balances {
			got := make([]int64, 4)
			var start, resets *string
			found, err := s.read.row(t.Context(), `SELECT limit_tokens, used_tokens, held_tokens, remaining_tokens, window_start, resets_at
FROM budget_status WHERE budget_id = ?1`, []any{b.Budget.ID}, &got[0], &got[1], &got[2], &got[3], &start, &resets)
			if err != nil || !found {
				t.Fatal(found, err)
			}
			left, _ := b.FreeTokens()
			if want := []int64{limit, used, 0, left}; !slices.Equal(got, want) || b.UsedTokens != used {
				t.Errorf("%s: limit, used, held, remaining are %v, want %v", b.Budget.ID, got, want)
			}
			if b.Window.End.IsZero() != (resets == nil) ||
				resets != nil && (*resets != stampEnd(b.Window.End) || *start != stamp(b.Window.Start)) {
				t.Errorf("%s: from %v to %v, want %v", b.Budget.ID, start, resets, b.Window)
			}
		}
	}
	if err := operator(t, s, "DELETE FROM budget_counters"); err != nil { // as if nothing had been used yet
		t.Fatal(err)
	}
	compare(0)
	h, err := holdOf(k, "req_1", 70)
	if err != nil {
		t.Fatal(err)
	}
	h.IfLost.OccurredAt = now
	for i := range h.Lines {
		if h.Lines[i].Window, err = h.Lines[i].Budget.Window(now); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Reserve(t.Context(), h, now); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Settle(t.Context(), billing.Settlement{HoldID: "req_1", Attempts: []billing.Spend{h.IfLost}}); err != nil {
		t.Fatal(err)
	}
	compare(70)
}
