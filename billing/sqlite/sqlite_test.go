package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest"
	"tallyroute/billing/billingtest/prove"
)

func TestStore(t *testing.T) {
	billingtest.Run(t, func(t *testing.T, reporting *time.Location) billing.Store {
		o := Options{Reporting: reporting, Overrun: billing.DefaultOverrunLimit()}
		return openNew(t, o).Contracts()
	})
}

// migrated is a template file that has the schema.
var migrated prove.Template

// openNew opens a store in a file of its own.
func openNew(t testing.TB, o Options) *Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tallyroute.db")
	migrated.Copy(t, path, func(path string) error {
		s, err := Open(context.Background(), path, Options{})
		if err != nil {
			return err
		}
		_, err = s.Migrate(context.Background())
		return errors.Join(err, s.Close())
	})
	return open(t, path, o)
}

// open opens a migrated store.
func open(t testing.TB, path string, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func BenchmarkStore(b *testing.B) {
	billingtest.Benchmark(b, open(b, filepath.Join(b.TempDir(), "tallyroute.db"), Options{}).Contracts())
}
