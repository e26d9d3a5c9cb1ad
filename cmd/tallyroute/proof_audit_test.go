package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/manage"
	"tallyroute/billing/postgres"
	"tallyroute/billing/postgres/pgtest"
	"tallyroute/billing/sqlite"
)

// TestNoRecordNoChange makes every statement of every act fail, one at a time, on both stores.
// Whatever has changed has left a record, and where there is no record, nothing has changed.
func TestNoRecordNoChange(t *testing.T) {
	if os.Getenv("AUDIT") == "" {
		t.Skip("make proof-audit does it")
	}
	t.Run("postgres", func(t *testing.T) {
		dsn := pgtest.DSN(t)
		migrated(t, dsn)
		proxy := pgtest.NewFaulty(t, dsn)
		s, err := postgres.Open(t.Context(), proxy.DSN, postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		session := pgtest.Connect(t, dsn)
		tables := session.Rows(`SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() ` +
			`AND table_type = 'BASE TABLE'`)
		r := &actRig{t: t, store: s.Contracts(), rows: func(table string) []string {
			var list []string
			for _, row := range session.Rows(`SELECT t::text FROM "` + table + `" t`) {
				list = append(list, row[0])
			}
			return list
		}}
		for _, row := range tables {
			r.tables = append(r.tables, row[0])
		}
		r.fail = func(n int) { proxy.Set(pgtest.Fault{Code: "XX000", Times: 1, At: n}) }
		r.hit = func() bool { return proxy.Hits() > 0 }
		r.everything()
	})
	t.Run("sqlite", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "t.db")
		faulty := registerFaulty(t)
		s, err := sqlite.Open(t.Context(), file, sqlite.Options{Driver: "faulty"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		if _, err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite3", "file:"+file)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		r := &actRig{t: t, store: s.Contracts(), rows: func(table string) []string { return allOf(t, db, `SELECT * FROM "`+table+`"`) }}
		r.tables = allOf(t, db, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`)
		r.fail, r.hit = faulty.set, faulty.hit
		r.everything()
	})
}

// TestActsASecond has two routers create principals in one PostgreSQL database as fast as they
// can.
func TestActsASecond(t *testing.T) {
	if os.Getenv("AUDIT") == "" {
		t.Skip("make proof-audit does it")
	}
	const acts, each = 1000, 4
	dsn := pgtest.DSN(t)
	migrated(t, dsn)
	pepper, err := billing.ParsePepper(strings.Repeat("p", 32))
	if err != nil {
		t.Fatal(err)
	}
	var routers []manage.Actions
	for range 2 {
		s, err := postgres.Open(t.Context(), dsn, postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		routers = append(routers, manage.Actions{Store: s.Contracts(), Pepper: pepper})
	}
	by := manage.By{Actor: "ann"}
	if _, err := routers[0].CreatePrincipal(t.Context(), manage.PrincipalRequest{Name: "first"}, by); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var all sync.WaitGroup
	for i := range 2 * each {
		all.Go(func() {
			for n := range acts / (2 * each) {
				r := manage.PrincipalRequest{Name: fmt.Sprintf("bot %d %d", i, n)}
				if _, err := routers[i%2].CreatePrincipal(t.Context(), r, by); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	report, err := routers[0].VerifyAudit(t.Context())
	if err != nil || report.Fault != nil || report.Records != acts+1 {
		t.Errorf("the audit log: %d records, %v, %v", report.Records, report.Fault, err)
	}
	t.Logf("%d acts by two routers in %s: %.0f a second", acts, took, acts/took.Seconds())
	prove.Within(t, "1000 acts", took, 10*time.Second)
}

func migrated(t *testing.T, dsn string) {
	t.Helper()
	s, err := postgres.Open(t.Context(), dsn, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// allOf returns the rows of a query as text.
func allOf(t *testing.T, db *sql.DB, query string) (list []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprint(values...)
		if len(values) == 1 {
			text = fmt.Sprint(values[0])
		}
		list = append(list, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// faultyDriver is SQLite's driver, except that one statement, the at-th, fails.
type faultyDriver struct {
	driver.Driver
	mu    sync.Mutex
	at, n int
	hits  int
}

var errFaulty = errors.New("a fault")

func registerFaulty(t *testing.T) *faultyDriver {
	t.Helper()
	db, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	f := &faultyDriver{Driver: db.Driver()}
	sql.Register("faulty", f)
	return f
}

func (f *faultyDriver) set(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.n, f.hits = n, 0, 0
}

func (f *faultyDriver) hit() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits > 0
}

// next counts a statement and returns the fault if it is the one to fail. A ROLLBACK of the
// whole transaction is not counted and never fails.
func (f *faultyDriver) next(query string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.HasPrefix(query, "ROLLBACK") && !strings.Contains(query, " TO ") {
		return nil
	}
	if f.n++; f.at == 0 || f.n != f.at {
		return nil
	}
	f.hits++
	return errFaulty
}

// Open implements driver.Driver.
func (f *faultyDriver) Open(name string) (driver.Conn, error) {
	c, err := f.Driver.Open(name)
	return &faultySQLiteConn{c, f}, err
}

type faultySQLiteConn struct {
	driver.Conn
	f *faultyDriver
}

func (c *faultySQLiteConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	return &faultyStmt{s, c.f, query}, err
}

func (c *faultySQLiteConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.f.next(query); err != nil {
		return nil, err
	}
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c *faultySQLiteConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
}

func (c *faultySQLiteConn) CheckNamedValue(v *driver.NamedValue) error {
	if own, ok := c.Conn.(driver.NamedValueChecker); ok {
		return own.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

type faultyStmt struct {
	driver.Stmt
	f     *faultyDriver
	query string
}

func (s *faultyStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if err := s.f.next(s.query); err != nil {
		return nil, err
	}
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (s *faultyStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if err := s.f.next(s.query); err != nil {
		return nil, err
	}
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

func (s *faultyStmt) CheckNamedValue(v *driver.NamedValue) error {
	if own, ok := s.Stmt.(driver.NamedValueChecker); ok {
		return own.CheckNamedValue(v)
	}
	return driver.ErrSkip
}
