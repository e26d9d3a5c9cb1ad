package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest"
)

func TestStore(t *testing.T) {
	billingtest.Run(t, func(t *testing.T, reporting *time.Location) billing.Store {
		o := Options{Reporting: reporting, Overrun: billing.DefaultOverrunLimit()}
		return open(t, filepath.Join(t.TempDir(), "tallyroute.db"), o).Contracts()
	})
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
