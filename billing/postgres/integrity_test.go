package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
	"tallyroute/billing/billingtest"
)

// unguardSQL takes away every constraint that a corruption would break.
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

// TestIntegrityCheckNamesEveryCorruption opens all doors: no trigger, no constraint.
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

// TestUpkeep_MakesTheComingMonths on a database that runs on from month to month.
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

// TestUpkeep_ThrowsOldWindowsAway, of which nothing is held or leased, and what
// was used in them is known all the same.
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

// TestIntegrityCheck_OneProcessAtATime: a process that comes while another checks is told the last result.
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
