package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
)

// fresh returns a store in a file of its own, with one key.
func fresh(t *testing.T, budgets ...billing.Budget) (*Store, *billing.Key) {
	t.Helper()
	s := openNew(t, Options{})
	return s, newKey(t, s, "key_1", budgets...)
}

func newKey(t testing.TB, s *Store, id billing.KeyID, budgets ...billing.Budget) *billing.Key {
	t.Helper()
	p, err := s.EnsureProject(t.Context(), billing.Project{Team: "web", Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CreateKey(t.Context(), billing.Key{ID: id, Name: string(id), ProjectID: p.ID, Budgets: budgets}, hashOf(id)); err != nil {
		t.Fatal(err)
	}
	k, err := s.KeyByHash(t.Context(), hashOf(id))
	if err != nil {
		t.Fatal(err)
	}
	return &k
}

func hashOf(id billing.KeyID) (h [32]byte) {
	copy(h[:], id)
	return h
}

func limit(tokens int64) billing.Budget {
	return billing.Budget{ID: "bud_1", Scope: billing.ScopeKey, Period: billing.PeriodMonth, Tokens: &tokens}
}

// march is the time at which these tests take place.
var march = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

// request reserves tokens and settles them.
func request(ctx context.Context, s *Store, k *billing.Key, id string, tokens int64) error {
	h, err := holdOf(k, id, tokens)
	if err != nil {
		return err
	}
	if _, err := s.Reserve(ctx, h, march); err != nil {
		return err
	}
	row := h.IfLost
	row.Status = billing.StatusOK
	_, err = s.Settle(ctx, billing.Settlement{HoldID: id, Attempts: []billing.Spend{row}})
	return err
}

func holdOf(k *billing.Key, id string, tokens int64) (billing.Hold, error) {
	h := billing.Hold{
		ID: id, KeyID: k.ID, KeyVersion: k.Version, Tokens: tokens, Money: billing.Money(tokens),
		ExpiresAt: march.Add(time.Minute),
	}
	for _, b := range k.Budgets {
		w, err := b.Window(march)
		if err != nil {
			return h, err
		}
		h.Lines = append(h.Lines, billing.HoldLine{Budget: b, Window: w})
	}
	h.IfLost = billing.Spend{
		OccurredAt: march, Kind: billing.KindUsage, RequestID: id, Attempt: 1, Final: true, Owner: k.Owner(),
		RequestedModel: "chat", Provider: "demo-a", Model: "small", RouteReason: billing.RouteCheapest, Status: billing.StatusInterrupted,
		UsageSource: billing.Reported, Tokens: billing.Tokens{Output: tokens}, Pricing: billing.Priced, Price: billing.Price{ID: "price_1"},
		Cost: billing.Cost{Output: billing.Money(tokens), Total: billing.Money(tokens)}, Baseline: billing.Money(2 * tokens),
	}
	return h, nil
}

func mustRequest(t testing.TB, s *Store, k *billing.Key, id string, tokens int64) {
	t.Helper()
	if err := request(t.Context(), s, k, id, tokens); err != nil {
		t.Fatal(err)
	}
}

// operator runs SQL as somebody with a database shell would.
func operator(t testing.TB, s *Store, query string, args ...any) error {
	t.Helper()
	return s.write.do(t.Context(), func(ctx context.Context, tx *session) error {
		_, err := tx.exec(ctx, query, args...)
		return err
	})
}

func number(t testing.TB, s *Store, query string) (n int64) {
	t.Helper()
	if _, err := s.read.row(t.Context(), query, nil, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestLedger_IsAppendOnly(t *testing.T) {
	s, k := fresh(t)
	mustRequest(t, s, k, "req_1", 10)
	const want = "spend_events is append-only: post an adjustment instead"
	for _, query := range []string{
		`UPDATE spend_events SET cost_nano = 0`,
		`UPDATE spend_events SET tags = '{}' WHERE request_id = 'req_1'`,
		`DELETE FROM spend_events`,
	} {
		if err := operator(t, s, query); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", query, err, want)
		}
	}
	// Replacing a row deletes the old one without running the trigger on deletes.
	for _, verb := range []string{"INSERT", "INSERT OR REPLACE", "REPLACE", "INSERT OR IGNORE"} {
		for _, column := range []string{"event_id", "request_id"} { // the same attempt again, or the same event
			query := verb + ` INTO spend_events (` + eventColumns + `) SELECT ` + strings.Replace(eventColumns, column, column+` || 'x'`,
				1) + ` FROM spend_events`
			if err := operator(t, s, query); err == nil || !strings.Contains(err.Error(), "append-only") {
				t.Errorf("%s with another %s: got %v", verb, column, err)
			}
		}
	}
	if n := number(t, s, `SELECT sum(cost_nano) FROM spend_events`); n != 10 {
		t.Errorf("the ledger adds up to %d", n)
	}
}

func TestLedger_ClosedPeriod(t *testing.T) {
	s, k := fresh(t, limit(100))
	mustRequest(t, s, k, "req_1", 10)
	for period, status := range map[string]string{"2026-03-01": "closed", "2026-04-01": "open"} {
		if err := operator(t, s, `INSERT INTO billing_periods (period, timezone, status) VALUES (?, 'UTC', ?)`, period,
			status); err != nil {
			t.Fatal(err)
		}
	}
	if err := operator(t, s, strings.ReplaceAll(`INSERT INTO spend_events (`+eventColumns+`) SELECT `+eventColumns+` FROM spend_events`,
		" request_id,", " 'x' || request_id,")); err == nil {
		t.Error("a row of a closed month is taken")
	}
	mustRequest(t, s, k, "req_2", 20) // what the provider has done is booked regardless
	if n := number(t, s, `SELECT count(*) FROM spend_events WHERE request_id = 'req_2' AND report_day = '2026-04-01' AND adjusts_period `+
		`= '2026-03-01'`); n != 1 {
		t.Error("usage of a closed month is not booked in the next open one")
	}
	h, err := holdOf(k, "req_3", 30)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reserve(t.Context(), h, march); err != nil {
		t.Fatal(err)
	}
	h.IfLost.OccurredAt = march.AddDate(0, 1, 0)
	if _, err := s.Settle(t.Context(), billing.Settlement{HoldID: "req_3", Attempts: []billing.Spend{h.IfLost}}); err != nil {
		t.Errorf("the next month is closed too: %v", err)
	}
	if n := number(t, s, `SELECT sum(used_tokens) + sum(held_tokens) FROM budget_counters`); n != 10+20 {
		t.Errorf("counters stand at %d, want what is in the ledger", n)
	}
}

// TestRollup_FollowsEveryInsert checks that the rollup also follows a row inserted by an
// operator.
func TestRollup_FollowsEveryInsert(t *testing.T) {
	s, k := fresh(t)
	mustRequest(t, s, k, "req_1", 10)
	copied := strings.Replace(strings.Replace(eventColumns, "event_id", "'x'", 1), " request_id", " 'req_x'", 1)
	copyRow := `INSERT INTO spend_events (` + eventColumns + `) SELECT ` + copied + ` FROM spend_events LIMIT 1`
	if err := operator(t, s, copyRow); err != nil {
		t.Fatal(err)
	}
	for _, column := range []string{
		"input_tokens", "output_tokens", "overrun_tokens", "output_cost_nano", "fee_nano", "cost_nano",
		"baseline_cost_nano",
	} {
		if n := number(t, s, `SELECT (SELECT sum(`+column+`) FROM spend_daily) - (SELECT sum(`+column+`) FROM spend_events)`); n != 0 {
			t.Errorf("%s differs by %d", column, n)
		}
	}
	if n := number(t, s, `SELECT sum(attempts) FROM spend_daily`); n != 2 {
		t.Errorf("%d attempts", n)
	}
}

// TestFinanceViews checks that each view has its columns and adds up to the ledger.
func TestFinanceViews(t *testing.T) {
	s, k := fresh(t)
	mustRequest(t, s, k, "req_1", 1_234_567_890)
	h, err := holdOf(k, "req_2", 5)
	if err != nil {
		t.Fatal(err)
	}
	h.IfLost.Pricing = billing.Unpriced
	if _, err := s.Reserve(t.Context(), h, march); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Sweep(t.Context(), march.AddDate(0, 0, 1)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	for _, view := range []string{"spend", "spend_by_day", "spend_by_team_month", "spend_by_model_month", "spend_by_key_month"} {
		if n := number(t, s, `SELECT sum(cost_nano) FROM `+view); n != 1_234_567_890 {
			t.Errorf("%s adds up to %d", view, n)
		}
	}
	for query, want := range map[string]string{
		`SELECT team || ' ' || cost_center || ' ' || requests || ' ' || tokens || ' ' || cost_usd || ' ' || routing_savings_usd || ' ' ` +
			`|| unpriced_requests FROM spend_by_team_month`: "web unallocated 2 1234567895 1.23456789 1.23456789 1",
		`SELECT month || ' ' || usd_per_million_tokens FROM ` +
			`spend_by_model_month`: "2026-03 0.001",
		`SELECT key_name || ' ' || attempts || ' ' || errors FROM ` +
			`spend_by_key_month`: "key_1 2 1",
		`SELECT first_day || ' ' || tokens || ' ' || requests FROM ` +
			`unpriced_usage`: "2026-03-14 5 1",
		`SELECT group_concat(coalesce(cost_usd, 'unknown'), ' ` +
			`') FROM spend`: "1.23456789 unknown",
	} {
		var got string
		if _, err := s.read.row(t.Context(), query, nil, &got); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", query, got, err, want)
		}
	}
}

// TestColumns compares the tables, views and columns with the one list that both databases
// share.
func TestColumns(t *testing.T) {
	s, _ := fresh(t)
	var got []string
	err := s.read.rows(t.Context(), `SELECT o.name || '.' || c.name FROM sqlite_schema o, pragma_table_info(o.name) c
WHERE o.type IN ('table', 'view') ORDER BY o.name, c.name`, nil, func(scan scanner) error {
		var line string
		err := scan(&line)
		got = append(got, line)
		return err
	})
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

// TestDurability checks the settings that let an acknowledged row survive a power cut.
func TestDurability(t *testing.T) {
	s, _ := fresh(t)
	err := s.write.do(t.Context(), func(ctx context.Context, tx *session) error {
		for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1"} {
			var got string
			if _, err := tx.row(ctx, `PRAGMA `+pragma, nil, &got); err != nil || got != want {
				t.Errorf("%s is %q, %v; want %q", pragma, got, err, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.reads.ExecContext(t.Context(), `DELETE FROM settings`); err == nil {
		t.Error("a connection of the read pool can write")
	}
}

// TestFileModes checks that nobody else can read the files, which hold hashes and settings.
func TestFileModes(t *testing.T) {
	s, k := fresh(t)
	mustRequest(t, s, k, "req_1", 1)
	var path string
	if _, err := s.read.row(t.Context(), `SELECT file FROM pragma_database_list WHERE name = 'main'`, nil, &path); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o", suffix, mode)
		}
	}
}

func TestOpen_Refuses(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "none", "a.db"), dir, text} {
		s, err := Open(t.Context(), path, Options{})
		if !errors.Is(err, billing.ErrUnavailable) {
			t.Errorf("%s: got %v, want that it is unavailable", path, err)
		}
		if err == nil {
			_ = s.Close()
		}
	}
}

// TestOpen_OddPaths checks that a file name is taken literally and never read as part of a URI.
func TestOpen_OddPaths(t *testing.T) {
	for _, name := range []string{"a b.db", "100%41.db", "q?mode=memory", "h#ash.db", "ümläut.db", "amp&_pragma=synchronous(off).db"} {
		path := filepath.Join(t.TempDir(), name)
		s := open(t, path, Options{})
		newKey(t, s, "key_1")
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			if _, err := os.Stat(path + "-wal"); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := number(t, s, `SELECT count(*) FROM pragma_database_list WHERE file = '`+path+`'`); n != 1 {
			t.Errorf("%s is not the file that is open", name)
		}
	}
}

func TestReady_BeforeAndAfterMigrate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tallyroute.db")
	s, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := s.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "0001_tables") {
		t.Errorf("got %v, want what is missing", err)
	}
	applied, err := s.Migrate(t.Context())
	if err != nil || len(applied) == 0 || applied[0] != "0001_tables" {
		t.Errorf("applied %v, %v", applied, err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if err := operator(t, s, `INSERT INTO schema_migrations VALUES (9999, '9999_later', '', '')`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Migrate(t.Context()); err == nil || !strings.Contains(err.Error(), "newer tallyroute") {
		t.Errorf("got %v, want that the database is newer", err)
	}
	if err := s.Ready(t.Context()); err == nil {
		t.Error("ready with a schema that is not known")
	}
}

// TestMigrate_IsAtomic checks that a failed migration leaves nothing behind.
func TestMigrate_IsAtomic(t *testing.T) {
	s, _ := fresh(t)
	done, err := schema{s}.Apply(t.Context(), migrationOf(9998, `CREATE TABLE half (a TEXT) STRICT; CREATE TABLE half (a TEXT) STRICT;`))
	if err == nil || done {
		t.Errorf("got %v, %v", done, err)
	}
	if n := number(t, s, `SELECT count(*) FROM sqlite_schema WHERE name = 'half'`); n != 0 {
		t.Error("half a migration was applied")
	}
	if n := number(t, s, `SELECT count(*) FROM schema_migrations WHERE version = 9998`); n != 0 {
		t.Error("it is listed as applied")
	}
}

// TestFault checks how database errors are classified.
func TestFault(t *testing.T) {
	if err := fault(nil); err != nil {
		t.Error(err)
	}
	for _, err := range []error{context.DeadlineExceeded, sql.ErrConnDone, errors.New("disk I/O error")} {
		if got := fault(err); !errors.Is(got, billing.ErrUnavailable) || !errors.Is(got, err) ||
			fault(got) != got { //nolint:errorlint // the very same
			t.Errorf("%v became %v", err, got)
		}
	}
	s, _ := fresh(t)
	for query, want := range map[string]error{
		`INSERT INTO teams (id, name, created_at) SELECT id, 'other', '' FROM teams`:      billing.ErrDuplicate,
		`INSERT INTO teams (id, name, created_at) SELECT 'x', name, '' FROM teams`:        billing.ErrDuplicate,
		`INSERT INTO teams (id, name, created_at) VALUES ('x', NULL, '')`:                 nil,
		`INSERT INTO projects (id, team_id, name, created_at) VALUES ('x', 'y', 'z', '')`: nil,
		`INSERT INTO settings VALUES ('x', x'00', '')`:                                    nil,
		`SELECT * FROM nothing`: billing.ErrUnavailable,
	} {
		err := operator(t, s, query)
		if err == nil || (want != nil && !errors.Is(err, want)) || (want == nil && errors.Is(err, billing.ErrUnavailable)) {
			t.Errorf("%s: got %v, want %v", query, err, want)
		}
	}
}
