package postgres_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
)

// loadSQL inserts attempts $2 to $3 (exclusive) of $1 attempts over $4 days from 2026-08-01: 200 keys of 10 teams, 12 models
// of 4 providers, and one attempt in fifty without a price.
const loadSQL = `
INSERT INTO spend_events (event_id, occurred_at, report_day, request_id, key_id, project_id, team_id, cost_center, environment,
  tags, end_user,
  requested_model, provider, model, status, input_tokens, cache_read_tokens, output_tokens, pricing, price_id,
  input_price_nano, cache_read_price_nano, cache_write_price_nano, output_price_nano,
  input_cost_nano, cache_read_cost_nano, cache_write_cost_nano, output_cost_nano, fee_nano, cost_nano, baseline_cost_nano)
SELECT gen_random_uuid(), at, at::date, 'req_' || n, 'key_' || n % 200, 'proj_' || n % 40, 'team_' || n % 10, 'cc-' || n % 10,
       CASE WHEN n % 3 = 0 THEN 'dev' ELSE 'prod' END, jsonb_build_object('feature', 'f' || n % 7), 'user-' || n % 1000,
       'chat', 'provider-' || model % 4, 'model-' || model, CASE WHEN n % 20 = 0 THEN 'error' ELSE 'ok' END, 1000 + n % 500, n % 50, n % 300,
       CASE WHEN free THEN 'unpriced' ELSE 'priced' END, CASE WHEN NOT free THEN 'price_' || model END,
       CASE WHEN NOT free THEN 2500000 END, CASE WHEN NOT free THEN 0 END, CASE WHEN NOT free THEN 0 END, CASE WHEN NOT free THEN 300 END,
       CASE WHEN NOT free THEN 1000 END, CASE WHEN NOT free THEN 0 END, CASE WHEN NOT free THEN 0 END, CASE WHEN NOT free THEN n % 300 END,
       CASE WHEN NOT free THEN 0 END, CASE WHEN NOT free THEN 1000 + n % 300 END, CASE WHEN NOT free THEN 2000 END
  FROM (
    SELECT n, (n / 200 + n) % 12 AS model, n % 50 = 0 AS free,
      '2026-08-01T00:00:00Z'::timestamptz + n * interval '1 second' * ($4::int * 86400.0 / $1::int) AS at
      FROM generate_series($2::int, $3::int - 1) AS n
  ) AS row`

// monthQuestions holds the queries that finance runs on the views for one month.
var monthQuestions = map[string]string{
	"teams": `SELECT team, cost_usd, requests FROM finance.spend_by_team_month WHERE month = '2026-09' ORDER BY 2 DESC`,
	"month over month": `SELECT month, team, cost_usd, lag(cost_usd) OVER (PARTITION BY team ORDER BY month) FROM ` +
		`finance.spend_by_team_month`,
	"charge back": `SELECT cost_center, provider, sum(cost_usd) FROM finance.spend_by_day WHERE month = '2026-09' GROUP BY 1, 2`,
	"models":      `SELECT provider, model, usd_per_million_tokens FROM finance.spend_by_model_month WHERE month = '2026-09'`,
	"keys": `SELECT key_name, team, cost_usd FROM finance.spend_by_key_month WHERE month = '2026-09' ORDER BY 3 ` +
		`DESC LIMIT 10`,
	"keys of a week": `SELECT key_name, team, sum(cost_usd) FROM finance.spend_by_day WHERE day > '2026-09-23' AND day <= ` +
		`'2026-09-30' GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 10`,
	"savings": `SELECT month, sum(routing_savings_usd) FROM finance.spend_by_day GROUP BY 1`,
	"not production": `SELECT month, environment, sum(cost_usd) FROM finance.spend_by_day WHERE month = '2026-09' AND environment ` +
		`<> 'prod' GROUP BY 1, 2`,
	"without a price": `SELECT * FROM finance.unpriced_usage`,
	"features": `SELECT tags->>'feature', count(DISTINCT request_id), sum(cost_usd) FROM finance.spend WHERE day >= ` +
		`'2026-09-01' AND day < '2026-10-01' GROUP BY 1`,
	"corrections":       `SELECT day, kind, team, cost_usd, reason FROM finance.spend WHERE kind <> 'usage'`,
	"rows of a request": `SELECT * FROM finance.spend WHERE request_id = 'req_77'`,
	"attempts that failed": `SELECT count(DISTINCT request_id), count(*), count(*) FILTER (WHERE status <> 'ok') FROM finance.spend ` +
		`WHERE day >= '2026-09-01' AND day < '2026-10-01'`,
}

// TestViews_AnswerWithinASecond queries every view for one month.
func TestViews_AnswerWithinASecond(t *testing.T) {
	s, dsn := open(t, patient)
	c := raw(t, dsn)
	n, begin := prove.Size(t, "VIEW_ROWS", 10_000), time.Now()
	exec(t, c, "SET max_parallel_workers_per_gather = 0")
	for _, month := range []string{"2026-08-01", "2026-09-01", "2026-10-01"} {
		exec(t, c, "SELECT spend_add_partition('"+month+"')")
	}
	const batch = 50_000 // rows per statement
	for from := 0; from < n; from += batch {
		if _, err := c.Exec(t.Context(), loadSQL, n, from, min(from+batch, n), 91); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, c, "ANALYZE")
	t.Logf("%d rows in %s: %d in the rollup, %d bytes a row with indexes", n, time.Since(begin).Round(time.Millisecond),
		get[int](t, c, "SELECT count(*) FROM spend_daily"),
		get[int64](t, c, "SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = "+
			"'spend_events'::regclass")/int64(n))
	for name, sql := range monthQuestions {
		best, work := time.Hour, time.Hour
		for range 3 {
			before := backendTime(t, c)
			best = min(best, answerIn(t, c, sql))
			work = min(work, backendTime(t, c)-before)
		}
		t.Logf("%-22s %8.1f ms, %8.1f ms of a processor", name, best.Seconds()*1000, work.Seconds()*1000)
		prove.Within(t, name, best, time.Second)
	}
	for _, q := range []billing.SpendQuery{
		{GroupBy: []billing.Dimension{"team", "model"}},
		{GroupBy: []billing.Dimension{"cost_center", "day"}},
		{GroupBy: []billing.Dimension{"tag:feature"}},
		{GroupBy: []billing.Dimension{"end_user"}},
		{GroupBy: []billing.Dimension{"tag:feature", "end_user"}},
	} {
		q.From, q.To = "2026-08-01", "2026-11-01"
		most := time.Second
		if !q.Daily() { // the daily sums are not enough to answer it
			most = 10 * time.Second
		}
		name, begin := fmt.Sprint(q.GroupBy), time.Now()
		if _, err := s.Spend(t.Context(), q); err != nil {
			t.Fatal(name, err)
		}
		took := time.Since(begin)
		t.Logf("report by %-22s %8.1f ms", name, took.Seconds()*1000)
		prove.Within(t, "report by "+name, took, most)
	}
	r, err := s.CheckIntegrity(t.Context(), billing.IntegrityOptions{Now: time.Now()})
	if err != nil || r.Breaches > 0 {
		t.Errorf("integrity: %v, %s", err, r.First)
	}
	t.Logf("integrity check %s", r.Took.Round(time.Millisecond))
}

// backendTime returns the CPU time that the server process of c has used, or zero
// if the system does not report it.
func backendTime(t *testing.T, c *pgx.Conn) time.Duration {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + strconv.FormatUint(uint64(c.PgConn().PID()), 10) + "/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name can contain spaces
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	var ticks int64
	for _, f := range fields[11:13] { // user and system time, see proc(5)
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func answerIn(t *testing.T, c *pgx.Conn, sql string) time.Duration {
	t.Helper()
	begin := time.Now()
	rows, err := c.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		if _, err := rows.Values(); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return time.Since(begin)
}
