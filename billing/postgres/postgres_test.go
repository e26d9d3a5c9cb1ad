package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres"
	"tallyroute/billing/postgres/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// patient waits long enough for a busy machine. It waits for locks longer than PostgreSQL
// takes to detect a deadlock, so that a deadlock would be reported as one.
var patient = postgres.Options{Acquire: time.Minute, Statement: time.Minute, Lock: time.Minute}

var noon = time.Date(2026, 11, 18, 12, 0, 0, 0, time.UTC)

// open returns a store on its own database, with the schema in place.
func open(t testing.TB, o postgres.Options) (*postgres.Store, string) {
	t.Helper()
	dsn := pgtest.Copy(t, migrate)
	return connect(t, dsn, o), dsn
}

func migrate(dsn string) error {
	s, err := postgres.Open(context.Background(), dsn, patient)
	if err != nil {
		return err
	}
	defer s.Close()
	_, err = s.Migrate(context.Background())
	return err
}

// connect returns a store on an existing database.
func connect(t testing.TB, dsn string, o postgres.Options) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), dsn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// raw opens a connection that bypasses the store.
func raw(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func exec(t testing.TB, c *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := c.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func get[T any](t testing.TB, c *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	var v T
	if err := c.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// client is a key as a request sees it.
type client struct {
	testing.TB
	s   *postgres.Store
	key billing.Key
	n   *atomic.Int64
}

// newClient creates a key with its own budgets.
func newClient(t testing.TB, s *postgres.Store, name string, budgets ...billing.Budget) *client {
	t.Helper()
	p, err := s.EnsureProject(t.Context(), billing.Project{Team: "team", Name: "project", CostCenter: "4711"})
	if err != nil {
		t.Fatal(err)
	}
	k := billing.Key{ID: billing.KeyID("key_" + name), Name: name, ProjectID: p.ID, Budgets: budgets}
	if err := s.CreateKey(t.Context(), k, hash(name)); err != nil {
		t.Fatal(err)
	}
	c := &client{TB: t, s: s, n: new(atomic.Int64), key: k}
	c.refresh()
	return c
}

func hash(name string) (h [32]byte) {
	copy(h[:], name)
	return h
}

// refresh reloads the key.
func (c *client) refresh() {
	c.Helper()
	k, err := c.s.KeyByHash(c.Context(), hash(c.key.Name))
	if err != nil {
		c.Fatal(err)
	}
	c.key = k
}

func budget(id string, scope billing.Scope, scopeID string, tokens int64) billing.Budget {
	return billing.Budget{ID: id, Scope: scope, ScopeID: scopeID, Period: billing.PeriodMonth, Tokens: &tokens}
}

// hold returns a hold for a request at a given time.
func (c *client) hold(tokens int64, at time.Time) billing.Hold {
	id := fmt.Sprintf("req_%s_%d", c.key.ID, c.n.Add(1))
	h := billing.Hold{
		ID: id, KeyID: c.key.ID, KeyVersion: c.key.Version, Tokens: tokens, Money: billing.Money(tokens),
		ExpiresAt: at.Add(time.Minute),
	}
	for _, b := range c.key.Budgets {
		w, err := b.Window(at)
		if err != nil {
			c.Error(err)
		}
		h.Lines = append(h.Lines, billing.HoldLine{Budget: b, Window: w})
	}
	h.IfLost = c.row(id, tokens, at)
	return h
}

func (c *client) row(request string, tokens int64, at time.Time) billing.Spend {
	return billing.Spend{
		OccurredAt: at, Kind: billing.KindUsage, RequestID: request, Attempt: 1, Final: true, Owner: c.key.Owner(),
		RequestedModel: "chat", Provider: "demo-a", Model: "small", RouteReason: billing.RouteCheapest,
		Status: billing.StatusOK, UsageSource: billing.Reported, Tokens: billing.Tokens{Output: tokens},
		Pricing: billing.Priced, Price: billing.Price{ID: "price_1", Output: 1_000_000},
		Cost: billing.Cost{Output: billing.Money(tokens), Total: billing.Money(tokens)}, Baseline: billing.Money(tokens),
	}
}

// use takes a hold and settles it.
func (c *client) use(tokens int64, at time.Time) {
	c.Helper()
	h := c.hold(tokens, at)
	if _, err := c.s.Reserve(c.Context(), h, at); err != nil {
		c.Fatal(err)
	}
	if _, err := c.s.Settle(c.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{h.IfLost}}); err != nil {
		c.Fatal(err)
	}
}

// conservation selects everything that does not add up: counters that differ from the
// ledger or from the open holds, and days that differ from their rows.
const conservation = `
SELECT format('%s from %s: used %s, ledger %s; held %s, holds %s', c.budget_id, c.window_start,
              c.used_tokens, l.tokens, c.held_tokens, h.tokens)
  FROM budget_counters c JOIN budgets b ON b.id = c.budget_id,
       LATERAL (SELECT coalesce(sum(input_tokens + cache_read_tokens + cache_write_tokens + output_tokens), 0) AS tokens,
         coalesce(sum(cost_nano), 0) AS nano
                  FROM spend_events e
                 WHERE e.occurred_at >= c.window_start AND e.occurred_at < c.window_end
                   AND b.scope_id = CASE b.scope WHEN 'key' THEN e.key_id WHEN 'project' THEN e.project_id 
                     WHEN 'team' THEN e.team_id ELSE 'org' END) l,
       LATERAL (SELECT coalesce(sum(tokens), 0) AS tokens, coalesce(sum(nano), 0) AS nano
                  FROM holds h, unnest(h.budget_ids, h.window_starts) u (id, start)
                 WHERE u.id = c.budget_id AND u.start = c.window_start) h
 WHERE (c.used_tokens, c.used_nano, c.held_tokens, c.held_nano) IS DISTINCT FROM (l.tokens, l.nano, h.tokens, h.nano)
UNION ALL
SELECT format('%s: rollup and ledger differ', coalesce(d.report_day, e.report_day))
  FROM (SELECT report_day, sum(requests) r, sum(attempts) a, sum(cost_nano) c, sum(output_tokens) o FROM spend_daily GROUP BY 1) d
  FULL JOIN (SELECT report_day, count(*) FILTER (WHERE final) r, count(*) a, sum(cost_nano) c, sum(output_tokens) o
               FROM spend_events WHERE kind = 'usage' GROUP BY 1) e USING (report_day)
 WHERE (d.r, d.a, d.c, d.o) IS DISTINCT FROM (e.r, e.a, e.c, e.o)`

func wantConserved(t testing.TB, c *pgx.Conn) {
	t.Helper()
	rows, err := c.Query(t.Context(), conservation)
	if err != nil {
		t.Fatal(err)
	}
	faults, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Error(f)
	}
}

// awaitLock waits until some connection is waiting for a lock in this database. c must
// not be in a transaction, where the result would not change.
func awaitLock(t testing.TB, c *pgx.Conn) {
	t.Helper()
	awaitLocks(t, c, 1)
}

// awaitLocks waits until n connections are waiting for locks, as awaitLock does for one.
func awaitLocks(t testing.TB, c *pgx.Conn, n int) {
	t.Helper()
	const waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
	prove.Eventually(t, fmt.Sprintf("%d wait for locks", n), func() bool { return get[int](t, c, waiting) >= n })
}

// together runs do n times concurrently.
func together(n int, do func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

func wantUnavailable(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, billing.ErrUnavailable) {
		t.Errorf("got %v, want that the database is unavailable", err)
	}
}
