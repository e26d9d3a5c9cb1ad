package billingtest

import (
	"testing"
	"time"

	"tallyroute/billing"
)

// CheckSums checks that every number that a store returns is the sum of its rows:
// the usage of each budget in the window that contains now, and each report. There
// must be no open holds, and fewer than 1000 rows per key.
func CheckSums(t testing.TB, s billing.Store, now time.Time) {
	t.Helper()
	keys, rows := readAll(t, s)
	checkBalances(t, s, keys, rows, now)
	if tells(s) {
		checkReports(t, s, rows)
	}
}

// checkBalances compares the usage of each budget in the window that contains now with the rows.
func checkBalances(t testing.TB, s billing.Store, keys []billing.Key, rows []billing.Spend, now time.Time) {
	t.Helper()
	for _, k := range keys {
		balances, err := s.Balances(t.Context(), &k, now)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range balances {
			if b.Held() != (billing.Amount{}) {
				t.Errorf("sums: budget %s holds %+v, want nothing", b.Budget.ID, b.Held())
			}
			if b.Budget.Part != "" { // usage counts against the budgets of its names
				continue
			}
			used := sumOf(b, rows)
			if b.UsedTokens != used.tokens || b.UsedMoney != used.money {
				t.Errorf("sums: budget %s has used %d tokens and $%s, but the rows add up to %d and $%s",
					b.Budget.ID, b.UsedTokens, b.UsedMoney, used.tokens, used.money)
			}
			if want := requestsOf(b, rows); b.UsedRequests != want {
				t.Errorf("sums: budget %s has used %d requests, but the rows are of %d", b.Budget.ID, b.UsedRequests, want)
			}
		}
	}
}

func readAll(t testing.TB, s billing.Store) (keys []billing.Key, rows []billing.Spend) {
	t.Helper()
	var after billing.KeyID
	for {
		page, err := s.ListKeys(t.Context(), billing.KeyFilter{After: after})
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		last := page[len(page)-1].ID
		if last <= after {
			t.Fatalf("sums: after %s the keys begin again with %s", after, page[0].ID)
		}
		keys, after = append(keys, page...), last
	}
	for _, k := range keys {
		page, err := s.Events(t.Context(), billing.EventQuery{KeyID: k.ID, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 1000 {
			t.Fatalf("sums: %s has too many rows to be checked", k.ID)
		}
		rows = append(rows, page...)
	}
	return keys, rows
}

// sumOf returns the usage of a budget in its window according to the rows.
func sumOf(b billing.Balance, rows []billing.Spend) (used amount) {
	for _, r := range rows {
		if counts(b, r) {
			used.tokens += r.Tokens.Total()
			used.money += r.Cost.Total
		}
	}
	return used
}

// requestsOf returns the number of requests to which the rows in a budget's window belong.
func requestsOf(b billing.Balance, rows []billing.Spend) (n int64) {
	for _, r := range rows {
		if counts(b, r) && r.Kind == billing.KindUsage && r.Final {
			n++
		}
	}
	return n
}

// counts reports whether a row counts against a budget in its window.
func counts(b billing.Balance, r billing.Spend) bool {
	owner := map[billing.Scope]string{
		billing.ScopeKey: string(r.Owner.KeyID), billing.ScopeProject: r.Owner.ProjectID,
		billing.ScopeTeam: r.Owner.TeamID, billing.ScopeOrg: "org",
	}[b.Budget.Scope]
	return owner == b.Budget.ScopeID && b.Window.Contains(r.OccurredAt)
}

// checkReports compares the reports by every dimension with the rows of each month.
func checkReports(t testing.TB, s billing.Store, rows []billing.Spend) {
	t.Helper()
	months := make(map[billing.Month]billing.SpendRow)
	for _, r := range rows {
		month := billing.MonthOf(r.ReportDay)
		months[month] = addUp(months[month], rowOf(r))
	}
	for month, want := range months {
		for _, group := range append(billing.Dimensions(), "tag:feature") {
			report, err := s.Spend(t.Context(), billing.SpendQuery{GroupBy: []billing.Dimension{billing.Dimension(group)}, Month: month})
			if err != nil {
				t.Fatal(err)
			}
			var got billing.SpendRow
			for _, r := range report.Rows {
				got = addUp(got, r)
			}
			if text(got) != text(want) || text(addUp(report.Total, billing.SpendRow{})) != text(want) {
				t.Errorf("sums: %s by %s:\n  got %s\ntotal %s\n rows %s", month, group, text(got), text(report.Total), text(want))
			}
		}
	}
}

// rowOf returns what one row of the ledger adds to a report.
func rowOf(s billing.Spend) billing.SpendRow {
	r := billing.SpendRow{Tokens: s.Tokens, Cost: s.Cost.Total, Meters: s.Cost, Overrun: s.OverrunTokens, OverrunMoney: s.OverrunMoney}
	r.Tokens.Reasoning = 0 // reports leave it out
	if s.Pricing != billing.Unpriced {
		r.Savings = s.Baseline - s.Cost.Total
	}
	r.CacheSavings = s.CacheSaved()
	if s.Kind != billing.KindUsage {
		return r
	}
	r.Attempts = 1
	if s.Final {
		r.Requests = 1
	}
	if s.Status != billing.StatusOK {
		r.Errors = 1
	}
	if s.Pricing == billing.Unpriced {
		r.Unpriced = 1
	}
	if s.UsageSource != billing.Reported {
		r.NotExact = 1
	}
	return r
}

// addUp adds two rows of a report, without their groups.
func addUp(a, b billing.SpendRow) billing.SpendRow {
	return billing.SpendRow{
		Requests: a.Requests + b.Requests, Attempts: a.Attempts + b.Attempts, Errors: a.Errors + b.Errors,
		Tokens: billing.Tokens{
			Input: a.Tokens.Input + b.Tokens.Input, Output: a.Tokens.Output + b.Tokens.Output,
			CacheRead: a.Tokens.CacheRead + b.Tokens.CacheRead, CacheWrite: a.Tokens.CacheWrite + b.Tokens.CacheWrite,
		},
		Cost: a.Cost + b.Cost, Meters: billing.Cost{
			Input: a.Meters.Input + b.Meters.Input, CacheRead: a.Meters.CacheRead + b.Meters.CacheRead,
			CacheWrite: a.Meters.CacheWrite + b.Meters.CacheWrite, Output: a.Meters.Output + b.Meters.Output,
			Fee: a.Meters.Fee + b.Meters.Fee, Total: a.Meters.Total + b.Meters.Total,
		},
		Savings: a.Savings + b.Savings, CacheSavings: a.CacheSavings + b.CacheSavings,
		Unpriced: a.Unpriced + b.Unpriced, Overrun: a.Overrun + b.Overrun, OverrunMoney: a.OverrunMoney + b.OverrunMoney,
		NotExact: a.NotExact + b.NotExact,
	}
}
