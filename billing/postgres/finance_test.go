package postgres_test

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"tallyroute/billing"
	"tallyroute/billing/postgres/pgtest"
)

// TestFinanceLogin checks that a finance user, set up as docs/finance.md says, can run
// every query of that page and its example, and cannot access anything else.
func TestFinanceLogin(t *testing.T) {
	page, err := os.ReadFile("../../docs/finance.md")
	if err != nil {
		t.Fatal(err)
	}
	queries, err := os.ReadFile("../../examples/finance/queries.sql")
	if err != nil {
		t.Fatal(err)
	}
	dsn := pgtest.Private(t).DSN(t)
	s := connect(t, dsn, patient)
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	newClient(t, s, "checkout", budget("bud_1", billing.ScopeKey, "", 1000)).use(10, time.Now())
	admin := raw(t, dsn)
	setup, questions := pageSQL(string(page))
	for _, sql := range setup {
		exec(t, admin, strings.ReplaceAll(sql, "…", "secret"))
	}
	anna := raw(t, as(dsn, "anna", "secret"))
	questions = append(questions, statements(string(queries))...)
	if len(setup) < 4 || len(questions) < 26 {
		t.Errorf("the page has %d statements to set up and %d questions", len(setup), len(questions))
	}
	for _, sql := range questions {
		if _, err := anna.Exec(t.Context(), sql); err != nil {
			t.Errorf("%v of\n%s", err, sql)
		}
	}
	if used := get[int64](t, anna, "SELECT used_tokens FROM budget_status"); used != 10 {
		t.Errorf("the budget has used %d, want 10", used)
	}
	tables := get[string](t, admin, `SELECT string_agg(format('%I.%I', table_schema, table_name), ' ') FROM information_schema.tables
		WHERE table_schema = 'public'`)
	exec(t, anna, "SET default_transaction_read_only = off")
	for table := range strings.FieldsSeq(tables) {
		for _, sql := range []string{"SELECT 1 FROM " + table, "DELETE FROM " + table} {
			_, err := anna.Exec(t.Context(), sql)
			if pg := new(pgconn.PgError); !errors.As(err, &pg) ||
				pg.Code != "42501" && pg.Code != "55000" { // insufficient privilege; not an updatable view
				t.Errorf("%s: %v", sql, err)
			}
		}
	}
}

// pageSQL returns the statements on a page: those for an administrator, and the
// queries of a finance user.
func pageSQL(page string) (setup, questions []string) {
	for _, block := range regexp.MustCompile("(?s)```(sql|console)\n(.*?)```").FindAllStringSubmatch(page, -1) {
		text := block[2]
		if block[1] == "console" {
			if !strings.HasPrefix(text, "=> ") {
				continue // a shell command
			}
			question, _, _ := strings.Cut(strings.TrimPrefix(text, "=> "), ";")
			text = question + ";"
		}
		for _, sql := range statements(text) {
			if strings.HasPrefix(sql, "CREATE") || strings.HasPrefix(sql, "ALTER") {
				setup = append(setup, sql)
				continue
			}
			questions = append(questions, sql)
		}
	}
	return setup, questions
}

// statements splits a script into statements. No string literal in it can contain a
// semicolon.
func statements(script string) []string {
	all := strings.Split(regexp.MustCompile(`(?m)--.*$`).ReplaceAllString(script, ""), ";")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

// TestBudgetStatusIsTheBalance checks that finance sees the same balance of a budget
// that requests are decided by, whatever its period and time zone, used or unused.
func TestBudgetStatusIsTheBalance(t *testing.T) {
	s, dsn := open(t, patient)
	var budgets []billing.Budget
	for _, period := range []billing.Period{
		billing.PeriodDay, billing.PeriodWeek, billing.PeriodMonth, billing.PeriodQuarter, billing.PeriodYear, billing.PeriodOnce,
	} {
		for _, zone := range []string{"", "Asia/Kolkata", "America/New_York", "Pacific/Auckland"} {
			b := budget("bud_"+string(period)+zone, billing.ScopeKey, "", 1_000_000)
			b.Period, b.Zone = period, zone
			budgets = append(budgets, b)
		}
	}
	now := time.Now()
	others := slices.Clone(budgets)
	for i := range others {
		others[i].ID += "_idle"
	}
	used, idle := newClient(t, s, "used", budgets...), newClient(t, s, "idle", others...)
	used.use(70, now)
	used.refresh()
	hold := used.hold(30, now)
	if _, err := s.Reserve(t.Context(), hold, now); err != nil {
		t.Fatal(err)
	}
	c := raw(t, dsn)
	exec(t, c, "DELETE FROM budget_counters WHERE budget_id LIKE '%_idle'") // as if they had never been used
	idle.refresh()
	for _, k := range []*client{used, idle} {
		balances, err := s.Balances(t.Context(), &k.key, now)
		if err != nil || len(balances) != len(budgets) {
			t.Fatalf("%d balances, %v", len(balances), err)
		}
		for _, b := range balances {
			left, _ := b.FreeTokens()
			got := get[[]int64](t, c, "SELECT ARRAY[limit_tokens, used_tokens, held_tokens, remaining_tokens] FROM "+
				"finance.budget_status WHERE "+
				"budget_id = '"+b.Budget.ID+"'")
			if want := []int64{*b.Budget.Tokens, b.UsedTokens, b.HeldTokens, left}; !slices.Equal(got, want) {
				t.Errorf("%s: limit, used, held, remaining are %v, want %v", b.Budget.ID, got, want)
			}
			start := get[*time.Time](t, c, "SELECT window_start FROM finance.budget_status WHERE budget_id = '"+b.Budget.ID+"'")
			resets := get[*time.Time](t, c, "SELECT resets_at FROM finance.budget_status WHERE budget_id = '"+b.Budget.ID+"'")
			if b.Window.End.IsZero() != (resets == nil) ||
				resets != nil && (!resets.Equal(b.Window.End) || !start.Equal(b.Window.Start)) {
				t.Errorf("%s: from %v to %v, want %v", b.Budget.ID, start, resets, b.Window)
			}
		}
	}
}
