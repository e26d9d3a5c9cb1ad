package postgres_test

import (
	"os"
	"testing"
	"time"

	"tallyroute/billing/postgres"
	"tallyroute/billing/postgres/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// open is a store on a database of its own, with its schema.
func open(t testing.TB, o postgres.Options) (*postgres.Store, string) {
	t.Helper()
	dsn := pgtest.DSN(t)
	s := connect(t, dsn, o)
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, dsn
}

// connect is a store on a database that is there.
func connect(t testing.TB, dsn string, o postgres.Options) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), dsn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

var noon = time.Date(2026, 11, 18, 12, 0, 0, 0, time.UTC)
