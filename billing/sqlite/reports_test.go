package sqlite

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
)

// loadMarket inserts attempts ?1 to ?2 (exclusive) of ?3 attempts that are spread over ?5 days,
// 200 keys of 10 teams, 1,000 end users, and 12 models of 4 providers.
const loadMarket = `WITH RECURSIVE row (n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM row WHERE n + 1 < ?2),
made AS (SELECT n, (n / 200 + n) % 12 AS model, n * 1.0 * ?5 * 86400 / ?3 + 1785542400 AS at FROM row)
INSERT INTO spend_events (event_id, occurred_at, report_day, request_id, key_id, project_id, team_id, cost_center, environment, tags,
  end_user, session, requested_model, provider, model, status, input_tokens, output_tokens, pricing, price_id,
  input_price_nano, cache_read_price_nano, cache_write_price_nano, output_price_nano,
  input_cost_nano, cache_read_cost_nano, cache_write_cost_nano, output_cost_nano, fee_nano, cost_nano, baseline_cost_nano,
  fingerprint, prefixes, endpoint, recorded_at)
SELECT printf('%016x-0000-7000-8000-000000000000', n), strftime('%Y-%m-%dT%H:%M:%S.000000000Z', at, 'unixepoch'), date(at, 'unixepoch'),
  'req_' || n, 'key_' || (n % 200), 'proj_' || (n % 40), 'team_' || (n % 10), 'cc-' || (n % 10), iif(n % 3 = 0, 'dev', 'prod'),
  json_object('feature', 'f' || (n % 7)), 'user-' || (n % 1000), 'session-' || (n / 10), 'chat', 'provider-' || (model % 4),
  'model-' || model,
  iif(n % 20 = 0, 'error', 'ok'), 1000 + n % 500, n % 300, 'priced', 'price_' || model, 100, 0, 0, 300,
  1000, 0, 0, n % 300, 0, 1000 + n % 300, 2000, randomblob(32), randomblob(60), 'https://api.example.com/v1', ?4
FROM made`

// TestReportsByBreakdownsAreThoseByRows proves that breakdowns give the same answers as the
// rows; "make proof-reports" shows how much sooner.
func TestReportsByBreakdownsAreThoseByRows(t *testing.T) {
	s := openNew(t, Options{})
	n, began := prove.Size(t, "REPORT_ROWS", 600), time.Now()
	const batch = 10_000
	days := 3
	if n > 10*batch {
		days = 91
	}
	for from := 0; from < n; from += batch {
		if err := operator(t, s, loadMarket, from, min(from+batch, n), n, stamp(began), days); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d rows are there after %s", n, time.Since(began).Round(time.Millisecond))
	queries := []billing.SpendQuery{
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
	ask := func(q billing.SpendQuery, by string) billing.SpendReport {
		began := time.Now()
		r, err := s.Spend(t.Context(), q)
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
	var byRows []billing.SpendReport
	for _, q := range queries {
		byRows = append(byRows, ask(q, "rows"))
	}
	began = time.Now()
	made := 0
	for left := 1; left > 0; made++ {
		var err error
		if left, err = s.MakeBreakdown(context.Background(), began); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d breakdowns in %d bytes are made after %s", made, number(t, s, `SELECT coalesce(sum(length(data)), 0) FROM spend_breakdowns`),
		time.Since(began).Round(time.Millisecond))
	for i, q := range queries {
		if got := ask(q, "breakdowns"); !reflect.DeepEqual(got, byRows[i]) {
			t.Errorf("by %v: breakdowns say %+v, rows %+v", q.GroupBy, got.Total, byRows[i].Total)
		}
	}
	// A row that is inserted later is in the report at once.
	if err := operator(t, s, loadMarket, n, n+1, n, stamp(began), days); err != nil {
		t.Fatal(err)
	}
	if got := ask(queries[1], "rows of one day"); got.Total.Attempts != int64(n)+1 {
		t.Errorf("%d attempts of %d", got.Total.Attempts, n+1)
	}
	report, err := s.CheckIntegrity(t.Context(), billing.IntegrityOptions{Now: time.Now()})
	if err != nil || report.Breaches > 0 {
		t.Errorf("integrity: %v, %s", err, report.First)
	}
	t.Logf("integrity check: %s", report.Took.Round(time.Millisecond))
}
