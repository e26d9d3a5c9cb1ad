package postgres_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

// TestOnlyTheDataOfARowRejectIt checks that a row is at fault for a failed posting only if
// its data violates a rule of the ledger's own table.
func TestOnlyTheDataOfARowRejectIt(t *testing.T) {
	raising := func(code string) string {
		return `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN RAISE EXCEPTION 'a test' USING ERRCODE = '` + code + `'; END $$;
			CREATE TRIGGER fail BEFORE INSERT ON spend_daily FOR EACH ROW EXECUTE FUNCTION fail()`
	}
	for name, tt := range map[string]struct {
		begin, end string
		ofRow      bool
	}{
		"a check of the ledger": {
			"ALTER TABLE spend_events ADD CONSTRAINT no_small CHECK (model <> 'smallest') NOT VALID",
			"ALTER TABLE spend_events DROP CONSTRAINT no_small", true,
		},
		"a type that is too narrow": {
			"DROP SCHEMA finance CASCADE; DROP VIEW spend_moments; ALTER TABLE spend_events ALTER COLUMN model TYPE varchar(5)", "", true,
		},
		"a check of the rollup": {
			"ALTER TABLE spend_daily ADD CONSTRAINT no_small CHECK (model <> 'smallest') NOT VALID",
			"ALTER TABLE spend_daily DROP CONSTRAINT no_small", false,
		},
		"a check of the counters": {
			"ALTER TABLE budget_counters ADD CONSTRAINT no_used CHECK (used_tokens < 5) NOT VALID",
			"ALTER TABLE budget_counters DROP CONSTRAINT no_used", false,
		},
		"a value that the rollup cannot take": {raising("22003"), "DROP FUNCTION fail CASCADE", false},
		"a column that is gone": {
			"ALTER TABLE spend_daily RENAME COLUMN requests TO calls",
			"ALTER TABLE spend_daily RENAME COLUMN calls TO requests", false,
		},
		"a table that is gone":          {"ALTER TABLE spend_daily RENAME TO other", "", false},
		"a damaged index":               {raising("XX002"), "DROP FUNCTION fail CASCADE", false},
		"a fault of somebody's trigger": {raising("P0001"), "DROP FUNCTION fail CASCADE", false},
	} {
		t.Run(name, func(t *testing.T) {
			s, dsn := open(t, patient)
			c, db := newClient(t, s, "k", budget("bud_1", billing.ScopeKey, "key_k", 1000)), raw(t, dsn)
			c.use(1, noon) // creates the counter and the partition
			if _, err := db.Exec(t.Context(), tt.begin, pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Fatal(err)
			}
			row := c.row("req_1", 10, noon)
			row.Model = "smallest"
			_, err := s.Post(t.Context(), billing.Posting{Rows: []billing.Spend{row}})
			ofRow := errors.As(err, new(*billing.RowError))
			if err == nil || ofRow != tt.ofRow || ofRow == errors.Is(err, billing.ErrUnavailable) {
				t.Fatalf("the row's fault: %t, want %t: %v", ofRow, tt.ofRow, err)
			}
			if !ofRow {
				return
			}
			if _, err := s.Post(t.Context(), billing.Posting{Rejects: []billing.Reject{{Row: row, Reason: err.Error()}}}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.BookRejects(t.Context(), "req_1", "ann"); !errors.As(err, new(*billing.RowError)) {
				t.Errorf("booked although it is still refused: %v", err)
			}
			if tt.end == "" {
				return
			}
			exec(t, db, tt.end)
			if n, err := s.BookRejects(t.Context(), "req_1", "ann"); n != 1 || err != nil {
				t.Errorf("booked %d, %v", n, err)
			}
			wantConserved(t, db)
		})
	}
}
