package postgres_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tallyroute/billing/billingtest"
	"tallyroute/billing/postgres/pgtest"
)

// wantRefused fails the test unless the database rejects a statement with these words.
func wantRefused(t *testing.T, c *pgx.Conn, sql, words string) {
	t.Helper()
	_, err := c.Exec(t.Context(), sql)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || !strings.Contains(pg.Message, words) {
		t.Errorf("%s:\n got %v\nwant %q", sql, err, words)
	}
}

func TestLedger_IsAppendOnly(t *testing.T) {
	s, dsn := open(t, patient)
	newClient(t, s, "a").use(10, noon)
	c := raw(t, dsn)
	for _, sql := range []string{
		"UPDATE spend_events SET cost_nano = 0",
		"DELETE FROM spend_events",
		"TRUNCATE spend_events",
		"UPDATE spend_events_2026_11 SET cost_nano = 0",
		"DELETE FROM spend_events_2026_11",
		"TRUNCATE spend_events_2026_11",
	} {
		wantRefused(t, c, sql, "spend_events is append-only: post an adjustment instead")
	}
	wantConserved(t, c)
}

func TestLedger_ClosedPeriod(t *testing.T) {
	s, dsn := open(t, patient)
	newClient(t, s, "a").use(10, noon)
	c := raw(t, dsn)
	exec(t, c, "INSERT INTO billing_periods (period, timezone, status) VALUES ('2026-11-01', 'UTC', 'closed'), ('2026-12-01', "+
		"'UTC', 'open')")
	for _, table := range []string{"spend_events", "spend_events_2026_11"} {
		wantRefused(t, c, copyRow(table, "2026-11-30"),
			"billing period 2026-11 is closed: post the correction to an open period with adjusts_period")
	}
	exec(t, c, copyRow("spend_events", "2026-12-01"))
	wantConserved(t, c)
}

// copyRow inserts a copy of the existing row as a different request on another day.
func copyRow(table, day string) string {
	return `INSERT INTO ` + table + ` (event_id, occurred_at, report_day, request_id, key_id, project_id, team_id, cost_center, environment,
		requested_model, provider, model, output_tokens, pricing, input_cost_nano, cache_read_cost_nano, cache_write_cost_nano,
		  output_cost_nano, fee_nano, cost_nano)
	SELECT gen_random_uuid(), occurred_at, '` + day + `', gen_random_uuid()::text, key_id, project_id, team_id, cost_center, environment,
		requested_model, provider, model, 7, 'priced', 0, 0, 0, 5, 0, 5 FROM spend_events LIMIT 1`
}

// No insert bypasses the rollup, not even one that names a partition.
func TestLedger_RollupFollowsEveryInsert(t *testing.T) {
	s, dsn := open(t, patient)
	newClient(t, s, "a").use(10, noon)
	c := raw(t, dsn)
	exec(t, c, copyRow("spend_events", "2026-11-19"))
	exec(t, c, copyRow("spend_events_2026_11", "2026-11-19"))
	exec(t, c, copyRow("spend_events", "2026-12-19"))
	if n := get[int](t, c, "SELECT sum(attempts) FROM spend_daily"); n != 4 {
		t.Errorf("%d attempts in the rollup, want 4", n)
	}
	wantConserved(t, c)
}

func TestLedger_RefusesNonsense(t *testing.T) {
	s, dsn := open(t, patient)
	newClient(t, s, "a").use(10, noon)
	c := raw(t, dsn)
	for name, change := range map[string][2]string{
		"unpriced with a cost": {"'priced'", "'unpriced'"},
		"meters that differ":   {"5, 0, 5 FROM", "5, 0, 6 FROM"},
		"negative":             {"0, 0, 0, 5, 0, 5 FROM", "0, 0, 0, -5, 0, -5 FROM"},
		"too many tokens":      {"model, 7,", "model, 1000000000000001,"},
	} {
		sql := strings.ReplaceAll(copyRow("spend_events", "2026-11-19"), change[0], change[1])
		if sql == copyRow("spend_events", "2026-11-19") {
			t.Fatalf("%s changes nothing", name)
		}
		wantRefused(t, c, sql, "violates check constraint")
	}
}

func TestPartitions(t *testing.T) {
	s, dsn := open(t, patient)
	c := raw(t, dsn)
	const ahead = `SELECT count(*) FROM generate_series(-1, 3) n
		WHERE to_regclass('spend_events_' || to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + n * interval '1 month',
		  'YYYY_MM')) IS NOT NULL`
	if n := get[int](t, c, ahead); n != 5 {
		t.Errorf("%d of the 5 months around now have a partition", n)
	}

	const there = "SELECT to_regclass('spend_events_2031_07') IS NOT NULL"
	if get[bool](t, c, there) {
		t.Fatal("the partition is there too early")
	}
	k := newClient(t, s, "a", budget("", "key", "", 1e6))
	together(8, func(int) { k.use(10, time.Date(2031, 7, 31, 23, 59, 0, 0, time.UTC)) })
	if !get[bool](t, c, there) {
		t.Error("the first row of a month makes no partition")
	}
	if n := get[int](t, c, "SELECT count(*) FROM spend_events_2031_07"); n != 8 {
		t.Errorf("%d rows, want 8", n)
	}
	wantRefused(t, c, "TRUNCATE spend_events_2031_07", "append-only")
	wantConserved(t, c)
}

// Dropping a month's partition changes no total.
func TestPartitions_DropKeepsTotals(t *testing.T) {
	s, dsn := open(t, patient)
	once := budget("bud_once", "key", "", 1e6)
	once.Period = "once"
	k := newClient(t, s, "a", once)
	k.use(10, time.Date(2024, 1, 15, 0, 0, 0, 0, time.UTC))
	k.use(5, noon)
	c := raw(t, dsn)
	const total = "SELECT sum(cost_nano) FROM finance.spend_by_team_month"
	before := get[int](t, c, total)
	exec(t, c, "DROP TABLE spend_events_2024_01")
	if after := get[int](t, c, total); after != before || after != 15 {
		t.Errorf("%d before, %d after", before, after)
	}
	again := budget("bud_again", "key", string(k.key.ID), 1e6)
	again.Period = "once"
	if err := s.RemoveBudget(t.Context(), "bud_once"); err != nil {
		t.Fatal(err)
	}
	if err := billingtest.SetBudget(t.Context(), s, again, noon); err != nil {
		t.Fatal(err)
	}
	if used := get[int](t, c, "SELECT used_tokens FROM budget_counters WHERE budget_id = 'bud_again'"); used != 15 {
		t.Errorf("a new budget starts at %d, want 15", used)
	}
}

func TestFinance_ReadsTheViewsAndNothingElse(t *testing.T) {
	s, dsn := open(t, patient)
	newClient(t, s, "checkout").use(10, noon)
	c := raw(t, dsn)
	exec(t, c, "SET ROLE finance")
	for _, view := range []string{
		"spend", "spend_by_day", "spend_by_team_month", "spend_by_model_month", "spend_by_key_month",
		"unpriced_usage", "prices", "periods", "period_changes", "budget_status", "rejected_rows", "refused_requests",
	} {
		exec(t, c, "SELECT * FROM finance."+view)
	}
	exec(t, c, "SET search_path = finance")
	if name := get[string](t, c, "SELECT key_name FROM spend_by_key_month WHERE cost_nano = 10 AND team = 'team' AND "+
		"cost_center = '4711'"); name != "checkout" {
		t.Errorf("got key %q", name)
	}
	for _, sql := range []string{
		"SELECT * FROM public.spend_events", "SELECT * FROM public.api_key_secrets", "SELECT * FROM public.api_keys",
		"SELECT * FROM public.settings", "SELECT * FROM public.budget_counters", "SELECT * FROM public.spend_events_2026_11",
		"INSERT INTO public.teams (id, name) VALUES ('x', 'x')", "UPDATE public.budgets SET amount_nano = 0", "DELETE FROM public.holds",
		"UPDATE finance.spend SET reason = ''", "DELETE FROM finance.spend_by_day", "INSERT INTO finance.spend (kind) VALUES ('credit')",
		"CREATE TABLE finance.x (y int)", "CREATE TABLE public.x (y int)", "CREATE VIEW finance.x AS SELECT 1",
		"TRUNCATE public.spend_events",
		"SELECT public.spend_add_partition('2040-01-01')",
	} {
		_, err := c.Exec(t.Context(), sql)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "42501" && pg.Code != "55000" { // insufficient privilege; not an updatable view
			t.Errorf("%s: got %v, want that it is not allowed", sql, err)
		}
	}
}

// Every view and column has a comment that psql shows.
func TestFinance_IsCommented(t *testing.T) {
	_, dsn := open(t, patient)
	c := raw(t, dsn)
	rows, err := c.Query(t.Context(), `
		SELECT format('%s.%s', attrelid::regclass, attname) FROM pg_attribute JOIN pg_class v ON v.oid = attrelid
		 WHERE v.relnamespace = 'finance'::regnamespace AND attnum > 0 AND coalesce(col_description(attrelid, attnum), '') = ''
		UNION ALL
		SELECT v.oid::regclass::text FROM pg_class v WHERE v.relnamespace = 'finance'::regnamespace
		  AND obj_description(v.oid, 'pg_class') IS NULL`)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(bare) != 0 {
		t.Errorf("without a comment: %v, %v", bare, err)
	}
}

// A user who cannot create roles can still migrate. The role gets its privileges at
// the first start after an administrator has created it.
func TestFinance_RoleMadeByHand(t *testing.T) {
	cluster := pgtest.Private(t)
	cluster.Run(t, "CREATE ROLE plain LOGIN PASSWORD 'plain'")
	dsn := cluster.DSN(t)
	super := raw(t, dsn)
	exec(t, super, "GRANT ALL ON SCHEMA public TO plain")
	exec(t, super, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO plain', current_database()); END $$")
	s := connect(t, as(dsn, "plain", "plain"), patient)
	for range 2 {
		if _, err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if get[bool](t, super, "SELECT to_regrole('finance') IS NOT NULL") {
		t.Fatal("the role was created without permission")
	}
	newClient(t, s, "a").use(10, noon)
	exec(t, super, "CREATE ROLE finance NOLOGIN")
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec(t, super, "SET ROLE finance")
	if n := get[int](t, super, "SELECT count(*) FROM finance.spend"); n != 1 {
		t.Errorf("finance sees %d rows", n)
	}
}
