package sqlite

import (
	"testing"
	"time"

	"tallyroute/billing/billingtest"
)

// loadMarket inserts attempts ?1 to ?2 (exclusive) of ?3 attempts that are spread over ?5 days,
// 200 keys of 10 teams, 1,000 end users, and 12 models of 4 providers.
const loadMarket = `WITH RECURSIVE row (n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM row WHERE n + 1 < ?2),
made AS (SELECT n, (n / 200 + n) % 12 AS model, n * 1.0 * ?5 * 86400 / ?3 + 1785542400 AS at FROM row)
INSERT INTO spend_events (event_id, occurred_at, report_day, request_id, key_id, project_id, team_id, cost_center, environment, tags,
  end_user, session, requested_model, provider, model, status, input_tokens, cache_read_tokens, output_tokens, pricing, price_id,
  input_price_nano, cache_read_price_nano, cache_write_price_nano, output_price_nano,
  input_cost_nano, cache_read_cost_nano, cache_write_cost_nano, output_cost_nano, fee_nano, cost_nano, baseline_cost_nano,
  fingerprint, prefixes, endpoint, recorded_at)
SELECT printf('%016x-0000-7000-8000-000000000000', n), strftime('%Y-%m-%dT%H:%M:%S.000000000Z', at, 'unixepoch'), date(at, 'unixepoch'),
  'req_' || n, 'key_' || (n % 200), 'proj_' || (n % 40), 'team_' || (n % 10), 'cc-' || (n % 10), iif(n % 3 = 0, 'dev', 'prod'),
  json_object('feature', 'f' || (n % 7)), 'user-' || (n % 1000), 'session-' || (n / 10), 'chat', 'provider-' || (model % 4),
  'model-' || model,
  iif(n % 20 = 0, 'error', 'ok'), 1000 + n % 500, n % 50, n % 300, 'priced', 'price_' || model, 2500000, 0, 0, 300,
  1000, 0, 0, n % 300, 0, 1000 + n % 300, 2000, randomblob(32), randomblob(60), 'https://api.example.com/v1', ?4
FROM made`

// TestReportsByBreakdownsAreThoseByRows proves that breakdowns give the same answers as the
// rows; "make proof-reports" shows how much sooner.
func TestReportsByBreakdownsAreThoseByRows(t *testing.T) {
	s, now := openNew(t, Options{}), stamp(time.Now())
	billingtest.ReportsByBreakdowns(t, billingtest.Market{
		Reports: s, Breakdowns: s, IntegrityChecker: s,
		Exec: func(sql string) error { return operator(t, s, sql) },
		Load: func(from, to, of, days int) error { return operator(t, s, loadMarket, from, to, of, now, days) },
	})
	t.Logf("breakdowns: %d bytes", number(t, s, `SELECT coalesce(sum(length(data)), 0) FROM spend_breakdowns`))
}
