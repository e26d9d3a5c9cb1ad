package postgres_test

import (
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestColumns checks the schema against the list of tables, views and columns that both
// databases share.
func TestColumns(t *testing.T) {
	_, dsn := open(t, patient)
	rows, err := raw(t, dsn).Query(t.Context(), `SELECT name || '.' || column_name FROM (
  SELECT CASE WHEN table_schema = 'finance' AND table_name = 'prices' THEN 'price_list' -- SQLite has one schema
              WHEN table_schema = 'finance' AND table_name = 'period_changes' THEN 'closings' ELSE table_name END AS name, column_name
    FROM information_schema.columns
   WHERE table_schema IN ('public', 'finance') AND table_name !~ '^spend_events_\d{4}_\d{2}$'
) AS c
ORDER BY name COLLATE "C", column_name COLLATE "C"`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../migrations/testdata/columns.txt")
	if err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(got, "\n") + "\n"; all != string(want) {
		t.Errorf("the columns differ from migrations/testdata/columns.txt; they are:\n%s", all)
	}
}
