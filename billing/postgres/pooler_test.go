package postgres_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres"
	"tallyroute/billing/postgres/pgtest"
)

// ignored lists startup parameters that operators tell PgBouncer to ignore.
const ignored = "statement_timeout,lock_timeout,default_transaction_isolation,jit,extra_float_digits"

// TestStoreBehindAPooler runs the suite with a few connections that change hands after
// every transaction: the whole suite if $POOLER is set, or else a few cases.
func TestStoreBehindAPooler(t *testing.T) {
	through := pgtest.Pooler(t, ignored)
	open := func(t *testing.T, zone *time.Location) billing.Store {
		o := patient
		o.Reporting, o.Overrun = zone, billing.DefaultOverrunLimit()
		_, dsn := open(t, patient)
		return connect(t, through(dsn), o).Contracts()
	}
	if prove.Size(t, "POOLER", 0) > 0 {
		billingtest.Run(t, open)
		return
	}
	s := open(t, time.UTC)
	together(16, func(int) {
		for range 5 {
			_, err := s.KeyByHash(t.Context(), hash("a"))
			if errors.Is(err, billing.ErrUnavailable) || err == nil {
				t.Errorf("a key that is none: %v", err)
			}
			if err := s.RecordPrices(t.Context(), nil); err != nil {
				t.Error(err)
			}
		}
	})
	if r, err := s.CheckIntegrity(t.Context(), billing.IntegrityOptions{Now: noon, Since: noon.Add(-1)}); err != nil || r.Breaches > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestPoolerIsFoundOut checks that the first connection detects a pooler, whether it
// ignores unknown parameters or rejects them.
func TestPoolerIsFoundOut(t *testing.T) {
	for name, ignore := range map[string]string{"Ignores": ignored + ",tallyroute.route", "Refuses": "extra_float_digits"} {
		for first, ask := range map[string]func(s *postgres.Store, ctx context.Context) error{
			"Migrate": func(s *postgres.Store, ctx context.Context) error { _, err := s.Migrate(ctx); return err },
			"Ready":   (*postgres.Store).Ready,
		} {
			t.Run(name+"/"+first, func(t *testing.T) {
				dsn := pgtest.DSN(t)
				s := connect(t, pgtest.Pooler(t, ignore)(dsn), patient)
				err := ask(s, t.Context())
				if pooled, direct := s.Pooled(); !pooled || direct {
					t.Errorf("pooled %t, direct %t: %v", pooled, direct, err)
				}
				together(8, func(int) {
					if _, err := s.Migrate(t.Context()); err != nil {
						t.Error(err)
					}
					if err := s.Ready(t.Context()); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
	s, _ := open(t, patient)
	if pooled, _ := s.Pooled(); pooled {
		t.Error("a server is taken for a pooler")
	}
}

// TestWantsAreHeardBehindAPooler checks that wants are noticed behind a pooler, either by
// polling or over a direct connection.
func TestWantsAreHeardBehindAPooler(t *testing.T) {
	dsn := pgtest.DSN(t)
	through := pgtest.Pooler(t, ignored)(dsn)
	direct := patient
	direct.Direct = dsn
	for name, o := range map[string]postgres.Options{"Looking": patient, "Direct": direct} {
		t.Run(name, func(t *testing.T) {
			s := connect(t, through, o)
			if _, err := s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var heard atomic.Int64
			go func() { _ = s.Wanted(ctx, func() { heard.Add(1) }) }()
			c := raw(t, dsn)
			prove.Eventually(t, "it is heard", func() bool {
				exec(t, c, "SELECT pg_notify('tallyroute_wanted', 'bud_1')")
				return heard.Load() > 0
			})
		})
	}
}

// TestStaleLockOfMigrationsIsTold checks that the error for a stale migration lock names
// its holder, and that migrating works once the lock is released.
func TestStaleLockOfMigrationsIsTold(t *testing.T) {
	dsn := pgtest.DSN(t)
	c := raw(t, dsn)
	exec(t, c, "SELECT pg_advisory_lock(8386103194290384758)")
	s := connect(t, dsn, patient)
	_, err := s.Migrate(t.Context())
	wantUnavailable(t, err)
	if want := "another process has the lock for migrations: server process "; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v", err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	prove.Eventually(t, "it migrates", func() bool {
		_, err := s.Migrate(t.Context())
		return err == nil
	})
}
