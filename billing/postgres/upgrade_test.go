package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres"
	"tallyroute/billing/postgres/pgtest"
	"tallyroute/migrations"
)

// heldSQL lists the tables that a migration keeps others from writing or reading until it
// commits, as far as they existed before.
const heldSQL = `
SELECT coalesce(string_agg(DISTINCT regexp_replace(c.relname, '_[0-9]{4}_[0-9]{2}$', '') || ' ' || l.mode, ', '), 'none')
  FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
 WHERE l.pid = pg_backend_pid() AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
   AND c.relname::text = ANY ($1)`

// TestUpgradeOfAFullLedger fills the ledger of the first version with UPGRADE_ROWS attempts and
// migrates it: all that they add up to stays. It logs how long each migration takes, and what it
// locks.
func TestUpgradeOfAFullLedger(t *testing.T) {
	n, first := prove.Size(t, "UPGRADE_ROWS", 600), 4
	dsn := ""
	if n <= 100_000 {
		dsn = pgtest.DSN(t)
	} else { // on the disk, because memory may be too small
		dsn = pgtest.Private(t, "fsync=on", "shared_buffers=256MB", "max_wal_size=2GB").DSN(t)
	}
	c := raw(t, dsn)
	list, err := migrations.Postgres()
	if err != nil {
		t.Fatal(err)
	}
	exec(t, c, `CREATE TABLE schema_migrations (version int PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,
		applied_at timestamptz NOT NULL DEFAULT now())`)
	for _, m := range list[:first] {
		apply(t, c, m)
	}
	for _, month := range []string{"2026-08-01", "2026-09-01", "2026-10-01"} {
		exec(t, c, "SELECT spend_add_partition('"+month+"')")
	}
	const batch = 50_000
	for from := 0; from < n; from += batch {
		exec(t, c, loadSQL, n, from, min(from+batch, n), 91)
	}
	const spent = "SELECT (count(*), sum(cost_nano), sum(input_tokens + cache_read_tokens + output_tokens))::text FROM spend_events"
	before := get[string](t, c, spent)
	for _, m := range list[first:] {
		apply(t, c, m)
	}
	if after := get[string](t, c, spent); after != before {
		t.Errorf("the rows add up to %s, not %s", after, before)
	}
	s := connect(t, dsn, postgres.Options{Acquire: time.Minute, Statement: time.Hour, Lock: time.Minute})
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := s.CheckIntegrity(t.Context(), billing.IntegrityOptions{Now: time.Now()})
	if err != nil || r.Breaches > 0 {
		t.Errorf("integrity: %v, %s", err, r.First)
	}
	q := billing.SpendQuery{GroupBy: []billing.Dimension{"team"}}
	report, err := s.Spend(t.Context(), q)
	if err != nil || report.Total.Attempts != int64(n) || report.Total.CacheSavings == 0 {
		t.Errorf("%v, %+v", err, report.Total)
	}
}

// apply applies a migration as the program does, in a transaction.
func apply(t *testing.T, c *pgx.Conn, m migrations.Migration) {
	t.Helper()
	tables := get[[]string](t, c, "SELECT coalesce(array_agg(relname::text), '{}') FROM pg_class WHERE relkind IN ('r', 'p')")
	began, held := time.Now(), ""
	err := pgx.BeginFunc(t.Context(), c, func(tx pgx.Tx) error {
		if _, err := tx.Conn().PgConn().Exec(t.Context(), m.SQL).ReadAll(); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
			m.Version, m.Name, m.Checksum)
		if err != nil {
			return err
		}
		return tx.QueryRow(t.Context(), heldSQL, tables).Scan(&held)
	})
	if err != nil {
		t.Fatalf("%s: %v", m.Name, err)
	}
	t.Logf("%-24s %8.1f ms  %s", m.Name, time.Since(began).Seconds()*1000, strings.ReplaceAll(held, "Lock", ""))
}
