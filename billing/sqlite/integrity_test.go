package sqlite

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"tallyroute/billing/billingtest"
)

// TestIntegrityCheckNamesEveryCorruption corrupts the database on a connection without triggers
// and constraints.
func TestIntegrityCheckNamesEveryCorruption(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tallyroute.db")
	s := open(t, path, Options{})
	var raw *sql.DB
	billingtest.Mutations(t, s.Contracts(), func(query string) error {
		if raw == nil {
			raw = unguarded(t, path)
		}
		// A strict table does not accept an empty text as a BLOB.
		_, err := raw.ExecContext(t.Context(), strictBlob.Replace(query))
		return err
	})
}

var strictBlob = strings.NewReplacer("'poison', ''", "'poison', x''")

// unguarded returns a connection on which nothing is refused.
func unguarded(t *testing.T, path string) *sql.DB {
	t.Helper()
	raw, err := sql.Open("sqlite3", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=ignore_check_constraints(1)")
	if err != nil {
		t.Fatal(err)
	}
	raw.SetMaxOpenConns(1)
	t.Cleanup(func() {
		if err := raw.Close(); err != nil {
			t.Error(err)
		}
	})
	rows, err := raw.QueryContext(t.Context(),
		"SELECT 'DROP ' || type || ' ' || name FROM sqlite_schema WHERE type = 'trigger' OR name = 'spend_events_once'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var drops []string
	for rows.Next() {
		var drop string
		if err := rows.Scan(&drop); err != nil {
			t.Fatal(err)
		}
		drops = append(drops, drop)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for _, drop := range drops {
		if _, err := raw.ExecContext(t.Context(), drop); err != nil {
			t.Fatal(err)
		}
	}
	return raw
}
