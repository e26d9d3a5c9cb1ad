package sqlite

import (
	"path/filepath"
	"testing"

	"tallyroute/billing/billingtest"
)

func TestErasureOfRowsWithNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tallyroute.db")
	s := open(t, path, Options{})
	billingtest.Erasures(t, s.Contracts(), func(query string) error {
		for _, q := range []string{
			"DROP TRIGGER spend_no_update", query,
			"CREATE TRIGGER spend_no_update BEFORE UPDATE ON spend_events BEGIN SELECT RAISE(ABORT, 'append-only'); END",
		} {
			if err := operator(t, s, q); err != nil {
				return err
			}
		}
		return nil
	})
}
