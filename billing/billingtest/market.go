package billingtest

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
)

// Market is a store with many attempts of 200 keys (key_0 to key_199) of 40 projects and 10
// teams (team_0 to team_9), 1,000 end users, the tag feature, and 12 models of 4 providers
// (provider-0 to provider-3), from 2026-08-01 on.
type Market struct {
	billing.Reports
	billing.Breakdowns
	billing.IntegrityChecker
	// Load inserts the attempts from number from up to, but not including, to, of so many
	// over so many days.
	Load func(from, to, of, days int) error
	Exec func(sql string) error // of its owner
}

// marketQueries are the reports that are asked of a market.
var marketQueries = []billing.SpendQuery{
	{GroupBy: []billing.Dimension{"tag:feature"}},
	{GroupBy: []billing.Dimension{"end_user"}},
	{GroupBy: []billing.Dimension{"end_user", "model"}, From: "2026-08-01", To: "2026-08-03"},
	{GroupBy: []billing.Dimension{"tag:feature", "team"}},
	{GroupBy: []billing.Dimension{"tag:none", "team"}},
	{GroupBy: []billing.Dimension{"status", "month"}},
	{GroupBy: []billing.Dimension{"tag:feature", "end_user"}},
	{GroupBy: []billing.Dimension{"tag:feature", "tag:none"}, Only: billing.SpendFilter{TeamID: "team_3", Provider: "provider-1"}},
	{GroupBy: []billing.Dimension{"team"}},
	{GroupBy: []billing.Dimension{"key", "day"}},
	{GroupBy: []billing.Dimension{"end_user"}, KeyID: "key_7"},
}

// ReportsByBreakdowns fills a market with REPORT_ROWS attempts, and checks that reports by
// breakdowns are those by rows, and how long they take.
func ReportsByBreakdowns(t *testing.T, m Market) {
	n, began := prove.Size(t, "REPORT_ROWS", 600), time.Now()
	const batch = 10_000
	days := 3
	if n > 10*batch {
		days = 91
	}
	for from := 0; from < n; from += batch {
		if err := m.Load(from, min(from+batch, n), n, days); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d rows are there after %s", n, time.Since(began).Round(time.Millisecond))
	var byRows []billing.SpendReport
	for _, q := range marketQueries {
		byRows = append(byRows, m.ask(t, q, "rows"))
	}
	began = time.Now()
	made := 0
	for left := 1; left > 0; made++ {
		var err error
		if left, err = m.MakeBreakdown(t.Context(), began); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d breakdowns are made after %s", made, time.Since(began).Round(time.Millisecond))
	for i, q := range marketQueries {
		got := m.ask(t, q, "breakdowns")
		if !reflect.DeepEqual(got, byRows[i]) {
			t.Errorf("by %v: breakdowns say %+v, rows %+v", q.GroupBy, got.Total, byRows[i].Total)
		}
	}
	m.earlierVersion(t, byRows[0])
	// A row that is inserted later is in the report at once.
	if err := m.Load(n, n+1, n, days); err != nil {
		t.Fatal(err)
	}
	if got := m.ask(t, marketQueries[1], "rows of one day"); got.Total.Attempts != int64(n)+1 {
		t.Errorf("%d attempts of %d", got.Total.Attempts, n+1)
	}
	report, err := m.CheckIntegrity(t.Context(), billing.IntegrityOptions{Now: time.Now()})
	if err != nil || report.Breaches > 0 {
		t.Errorf("integrity: %v, %s", err, report.First)
	}
	t.Logf("integrity check: %s", report.Took.Round(time.Millisecond))
}

// earlierVersion gives a day a breakdown as routers of an earlier version make it: reports read
// the rows of that day until it is made again.
func (m Market) earlierVersion(t *testing.T, want billing.SpendReport) {
	t.Helper()
	if err := m.Exec("DELETE FROM spend_breakdowns WHERE name LIKE '%cache_savings_nano' AND report_day = '2026-08-02'"); err != nil {
		t.Fatal(err)
	}
	if got := m.ask(t, marketQueries[0], "rows of one day"); !reflect.DeepEqual(got, want) {
		t.Errorf("with a breakdown of an earlier version: %+v, want %+v", got.Total, want.Total)
	}
	for _, made := range []string{"again", "once"} {
		if left, err := m.MakeBreakdown(t.Context(), time.Now()); err != nil || left != 0 {
			t.Errorf("made %s: %d are left, %v", made, left, err)
		}
	}
	if got := m.ask(t, marketQueries[0], "breakdowns"); !reflect.DeepEqual(got, want) {
		t.Errorf("made again: %+v, want %+v", got.Total, want.Total)
	}
}

// ask asks for a report, which by breakdowns must be there in time.
func (m Market) ask(t *testing.T, q billing.SpendQuery, by string) billing.SpendReport {
	t.Helper()
	began := time.Now()
	r, err := m.Spend(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("by %v %s: %s", q.GroupBy, by, took.Round(time.Millisecond))
	if by == "breakdowns" {
		most := 10 * time.Second
		if q.Daily() {
			most = time.Second
		}
		prove.Within(t, fmt.Sprintf("a report by %v", q.GroupBy), took, most)
	}
	return r
}
