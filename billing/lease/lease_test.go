package lease_test

import (
	"context"
	"os"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/journal"
	"tallyroute/billing/lease"
	"tallyroute/billing/postgres"
	"tallyroute/billing/postgres/pgtest"
	"tallyroute/billing/sqlite"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// patient waits for as long as a crowded machine may take.
var patient = postgres.Options{Acquire: time.Minute, Statement: time.Minute, Lock: time.Minute}

func TestSuiteSQLite(t *testing.T) {
	billingtest.RunLeased(t, func(t *testing.T, zone *time.Location) billing.Store { return leased(t, openSQLite(t, zone), zone) })
}

// TestSuitePostgres runs the cases with every kind of limit if $LIMITS is set;
// that they hold of any is proved above.
func TestSuitePostgres(t *testing.T) {
	run := billingtest.RunLeasedAsWritten
	if prove.Size(t, "LIMITS", 0) > 0 {
		run = billingtest.RunLeased
	}
	run(t, func(t *testing.T, zone *time.Location) billing.Store { return leased(t, openPostgres(t, zone), zone) })
}

func openSQLite(t *testing.T, zone *time.Location) billing.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), lease.NewSQLite(t), sqlite.Options{Reporting: zone})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.Contracts()
}

func openPostgres(t *testing.T, zone *time.Location) billing.Store {
	t.Helper()
	o := patient
	o.Reporting = zone
	return connect(t, pgtest.Copy(t, lease.MigratePostgres), o)
}

func connect(t *testing.T, dsn string, o postgres.Options) billing.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), dsn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.Contracts()
}

// leased returns a store behind a ledger with a journal of its own, which runs
// until the test ends.
func leased(t *testing.T, s billing.Store, zone *time.Location) billing.Store {
	t.Helper()
	log, err := journal.Open(t.TempDir(), journal.Options{Sync: journal.SyncOff})
	if err != nil {
		t.Fatal(err)
	}
	link := &billingtest.Link{Store: s}
	linked := s.With(link)
	l, err := lease.Open(link, log, lease.Options{Replica: log.ID(), Zone: zone, Report: func(err error) { t.Log(err) }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
		if err := l.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.With(billingtest.Leased{Store: linked, Ledger: l})
}
