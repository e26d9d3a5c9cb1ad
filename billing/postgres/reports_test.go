package postgres_test

import (
	"testing"
	"time"

	"tallyroute/billing/billingtest"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres"
	"tallyroute/billing/postgres/pgtest"
)

// TestReportsByBreakdownsAreThoseByRows proves that breakdowns give the same answers as the
// rows; "make proof-reports" shows how much sooner.
func TestReportsByBreakdownsAreThoseByRows(t *testing.T) {
	options := postgres.Options{Acquire: time.Minute, Statement: time.Hour, Lock: time.Minute}
	dsn := ""
	if prove.Size(t, "REPORT_ROWS", 1) == 1 {
		dsn = pgtest.Copy(t, migrate)
	} else { // on the disk, because memory may be too small
		dsn = pgtest.Private(t, "fsync=on", "shared_buffers=256MB", "max_wal_size=2GB").DSN(t)
		if err := migrate(dsn); err != nil {
			t.Fatal(err)
		}
	}
	s, c := connect(t, dsn, options), raw(t, dsn)
	for _, month := range []string{"2026-08-01", "2026-09-01", "2026-10-01"} {
		exec(t, c, "SELECT spend_add_partition('"+month+"')")
	}
	billingtest.ReportsByBreakdowns(t, billingtest.Market{
		Reports: s, Breakdowns: s, IntegrityChecker: s,
		Exec: func(sql string) error {
			_, err := c.Exec(t.Context(), sql)
			return err
		},
		Load: func(from, to, of, days int) error {
			_, err := c.Exec(t.Context(), loadSQL, of, from, to, days)
			return err
		},
	})
	t.Logf("breakdowns: %d bytes", get[int64](t, c, "SELECT coalesce(sum(length(data)), 0) FROM spend_breakdowns"))
}
