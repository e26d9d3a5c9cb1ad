package postgres_test

import (
	"context"
	"errors"
	"net/url"
	"sync/atomic"
	"testing"

	"tallyroute/billing/postgres"
	"tallyroute/billing/postgres/pgtest"
)

// as returns dsn with a different user and password.
func as(dsn, user, password string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		panic(err) // the test made the string itself
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

func TestManyProcessesMigrateOnce(t *testing.T) {
	dsn := pgtest.DSN(t)
	var applied atomic.Int64
	together(8, func(int) {
		s := connect(t, dsn, patient)
		names, err := s.Migrate(t.Context())
		if err != nil {
			t.Error(err)
		}
		applied.Add(int64(len(names)))
		if err := s.Ready(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if want := get[int64](t, raw(t, dsn), "SELECT count(*) FROM schema_migrations"); applied.Load() != want || want == 0 {
		t.Errorf("%d migrations were applied, the database has %d", applied.Load(), want)
	}
}

// The role finance is shared by all databases of a server.
func TestSeveralDatabasesOfOneServerMigrate(t *testing.T) {
	cluster := pgtest.Private(t)
	dsns := make([]string, 6)
	for i := range dsns {
		dsns[i] = cluster.DSN(t)
	}
	together(len(dsns), func(i int) {
		if _, err := connect(t, dsns[i], patient).Migrate(t.Context()); err != nil {
			t.Error(err)
		}
	})
	for _, dsn := range dsns {
		c := raw(t, dsn)
		exec(t, c, "SET ROLE finance")
		exec(t, c, "SELECT * FROM finance.spend")
	}
}

// A migration that is killed halfway leaves a database that the next migration
// can complete.
func TestKilledMigratorLeavesNothingHalfDone(t *testing.T) {
	dsn := pgtest.DSN(t)
	killer := raw(t, dsn)
	exec(t, killer, "BEGIN")
	exec(t, killer, "CREATE SCHEMA finance") // the last migration waits for this transaction
	died := make(chan error)
	go func() {
		s, err := postgres.Open(context.Background(), dsn, patient)
		if err == nil {
			_, err = s.Migrate(context.Background())
		}
		died <- err
	}()
	awaitLock(t, raw(t, dsn))
	exec(t, killer, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND "+
		"wait_event_type = 'Lock'")
	wantUnavailable(t, <-died)
	exec(t, killer, "ROLLBACK")

	s := connect(t, dsn, patient)
	if err := s.Ready(t.Context()); err == nil {
		t.Error("half a schema is ready")
	}
	if names, err := s.Migrate(t.Context()); err != nil || len(names) == 0 {
		t.Errorf("applied %v, %v", names, err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestReady_BeforeTheSchema(t *testing.T) {
	s := connect(t, pgtest.DSN(t), patient)
	if err := s.Ready(t.Context()); err == nil {
		t.Error("an empty database is ready")
	}
	_, err := s.KeyByHash(t.Context(), hash("a"))
	wantUnavailable(t, err)
}

func TestMigrate_GivesUpWithItsCaller(t *testing.T) {
	dsn := pgtest.DSN(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := connect(t, dsn, patient).Migrate(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
