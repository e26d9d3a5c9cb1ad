package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
	"tallyroute/billing/billingtest"
)

// unguardSQL drops every constraint that a corruption would violate.
const unguardSQL = `
DO $$
DECLARE c record;
BEGIN
  FOR c IN SELECT conrelid::regclass AS rel, conname FROM pg_constraint
            WHERE contype = 'c' AND conparentid = 0 AND coninhcount = 0 AND connamespace = 'public'::regnamespace AND conrelid <> 0
  LOOP
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.rel, c.conname);
  END LOOP;
END $$`

// TestIntegrityCheckNamesEveryCorruption corrupts the data with all triggers and
// constraints out of the way.
func TestIntegrityCheckNamesEveryCorruption(t *testing.T) {
	s, dsn := open(t, patient)
	var c *pgx.Conn
	billingtest.Mutations(t, s.Contracts(), func(sql string) error {
		if c == nil {
			c = raw(t, dsn)
			exec(t, c, "SET session_replication_role = replica")
			exec(t, c, unguardSQL)
			exec(t, c, "DROP INDEX spend_once")
		}
		_, err := c.Exec(t.Context(), sql)
		return err
	})
}

// TestUpkeep_MakesTheComingMonths checks that upkeep creates the partitions of the coming
// months, for a database that stays in use from month to month.
func TestUpkeep_MakesTheComingMonths(t *testing.T) {
	s, dsn := open(t, patient)
	c := raw(t, dsn)
	const name = `'spend_events_' || to_char(now() AT TIME ZONE 'UTC' + interval '3 months' - interval '27 days', 'YYYY_MM')`
	part := get[string](t, c, "SELECT "+name)
	exec(t, c, "DROP TABLE "+part)
	if err := s.Upkeep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !get[bool](t, c, "SELECT to_regclass('"+part+"') IS NOT NULL") {
		t.Errorf("%s was not made", part)
	}
}

// TestUpkeep_ThrowsOldWindowsAway checks that upkeep deletes old windows, except those
// with something held or leased.
func TestUpkeep_ThrowsOldWindowsAway(t *testing.T) {
	s, dsn := open(t, patient)
	c := raw(t, dsn)
	exec(t, c, `INSERT INTO budgets (id, scope, scope_id, period, token_limit) VALUES ('bud_old', 'org', 'org', 'day', 10)`)
	exec(t, c, `INSERT INTO budget_counters (budget_id, window_start, window_end, leased_tokens)
		SELECT 'bud_old', now() - n * interval '1 day', now() - (n - 1) * interval '1 day', CASE WHEN n = 300 THEN 1 ELSE 0 END
		  FROM generate_series(1, 2500) AS n`)
	if err := s.Upkeep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := get[int](t, c, "SELECT count(*) FROM budget_counters"); n != 92+1 {
		t.Errorf("%d windows are left", n)
	}
}

// TestIntegrityCheck_OneProcessAtATime checks that a process gets the latest result
// while another process is running the check.
func TestIntegrityCheck_OneProcessAtATime(t *testing.T) {
	s, dsn := open(t, patient)
	c := raw(t, dsn)
	exec(t, c, "SELECT pg_advisory_lock(hashtextextended('tallyroute.integrity', 0))")
	r, err := s.CheckIntegrity(t.Context(), billing.IntegrityOptions{Now: noon, Since: noon.Add(-1)})
	if err != nil || len(r.Laws) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	exec(t, c, "SELECT pg_advisory_unlock(hashtextextended('tallyroute.integrity', 0))")
	if r, err = s.CheckIntegrity(t.Context(), billing.IntegrityOptions{Now: noon, Since: noon.Add(-1)}); err != nil || len(r.Laws) == 0 {
		t.Errorf("%+v, %v", r, err)
	}
}
