package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/migrations"
)

// TestUpgradeOfAFullLedger fills the ledger of an early version with UPGRADE_ROWS attempts and
// migrates it: all that they add up to stays. It logs how long each migration takes.
func TestUpgradeOfAFullLedger(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "tallyroute.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	list, err := migrations.SQLite()
	if err != nil {
		t.Fatal(err)
	}
	apply := func(list []migrations.Migration) {
		for _, m := range list {
			began := time.Now()
			if done, err := (schema{s}).Apply(t.Context(), m); err != nil || !done {
				t.Fatalf("%s: %t, %v", m.Name, done, err)
			}
			t.Logf("%-24s %8.1f ms", m.Name, time.Since(began).Seconds()*1000)
		}
	}
	const first = 10 // the version whose columns loadMarket fills
	apply(list[:first])
	n := prove.Size(t, "UPGRADE_ROWS", 600)
	const batch = 10_000
	for from := 0; from < n; from += batch {
		if err := operator(t, s, loadMarket, from, min(from+batch, n), n, stamp(time.Now()), 91); err != nil {
			t.Fatal(err)
		}
	}
	const cost, tokens = `SELECT sum(cost_nano) FROM spend_events`, `SELECT sum(input_tokens + cache_read_tokens + output_tokens) FROM spend_events`
	spent, used := number(t, s, cost), number(t, s, tokens)
	apply(list[first:])
	if number(t, s, cost) != spent || number(t, s, tokens) != used {
		t.Error("the rows add up to something else")
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := s.CheckIntegrity(t.Context(), billing.IntegrityOptions{Now: time.Now()})
	if err != nil || r.Breaches > 0 {
		t.Errorf("integrity: %v, %s", err, r.First)
	}
	report, err := s.Spend(t.Context(), billing.SpendQuery{GroupBy: []billing.Dimension{"team"}})
	if err != nil || report.Total.Attempts != int64(n) || report.Total.CacheSavings == 0 {
		t.Errorf("%v, %+v", err, report.Total)
	}
}
