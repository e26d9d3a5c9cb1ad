package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

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

// TestD15_AuditNamesEveryCorruption opens all doors: no trigger, no constraint.
func TestD15_AuditNamesEveryCorruption(t *testing.T) {
	s, dsn := open(t, patient)
	var c *pgx.Conn
	billingtest.Mutations(t, s, func(sql string) error {
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
