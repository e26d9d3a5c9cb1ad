package sqlite

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tallyroute/billing"
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

// TestErasedNamesAreNotLeftInTheFile checks the whole file, freed bytes included.
func TestErasedNamesAreNotLeftInTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tallyroute.db")
	s := open(t, path, Options{})
	err := s.write.do(t.Context(), func(ctx context.Context, tx *session) error {
		for i := range 300 {
			if _, err := pseudonym(ctx, tx, fmt.Sprintf("person-%03d@corp.example", i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 150 {
		e := billing.PersonErasure{Name: fmt.Sprintf("person-%03d@corp.example", 2*i), Now: time.Now()}
		if _, err := s.ErasePerson(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		name := fmt.Sprintf("person-%03d@corp.example", i)
		if there := bytes.Contains(text, []byte(name)); there != (i%2 == 1) {
			t.Errorf("%s is in the file: %v", name, there)
		}
	}
}
