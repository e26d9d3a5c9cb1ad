package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
	"tallyroute/router/admin"
)

// acts are what administrators do, each once and in an order in which each can be done.
// {NAME} is what an act before has stored as =NAME from the member that stands there, {n}
// another number each time that something was done although its answer was an error.
var acts = []string{
	`POST /teams {"name":"web{n}","project":"shop"} =team name`,
	`PATCH /teams/{team} {"cost_center":"c{n}","owner_email":"lead@example.com"}`,
	`POST /projects {"name":"p2{n}","team":"{team}","environment":"dev"} =project id`,
	`PATCH /projects/{project} {"name":"p3{n}"}`,
	`PUT /teams/{team}/policy {"policy":{"endpoints":["chat"]},"reason":"{n}"}`,
	`PUT /projects/{project}/policy {"policy":{"endpoints":["chat"]},"reason":"{n}"}`,
	`POST /keys {"name":"k{n}","team":"{team}","project":"shop","owner":"gone@example.com","budget":{"usd":"5"}} =key id`,
	`PATCH /keys/{key} {"name":"k2{n}","tags":{"a":"b"},"limits":{"tokens_per_minute":50}}`,
	`PUT /keys/{key}/policy {"policy":{"features":["stream"]},"reason":"{n}"}`,
	`POST /keys/{key}/rotate {"overlap":"1h"}`,
	`POST /keys/{key}/hand-over {"for":"1h"}`,
	`POST /keys/{key}/disable {"reason":"r"}`,
	`POST /keys/{key}/enable {"reason":"r"}`,
	`POST /keys {"name":"p{n}","team":"{team}","project":"shop","budget":{"usd":"5","period":"once"}} =prepaid id`,
	`POST /keys/{prepaid}/top-up {"usd":"1","reference":"PO-{n}"}`,
	`POST /budgets {"scope":"org","usd":"100"} =budget id`,
	`PATCH /budgets/{budget} {"usd":"7{n}","tokens":100}`,
	`POST /budgets/{budget}/raise {"usd":"1","until":"2099-01-01T00:00:00Z","reason":"r"}`,
	`POST /budgets/{budget}/reset {"reason":"r"}`,
	`DELETE /budgets/{budget}?reason=r`,
	`POST /principals {"name":"ci{n}"} =bot id`,
	`POST /principals {"name":"boss{n}","kind":"user","email":"boss{n}@example.com"} =boss id`,
	`POST /principals/{boss}/grants {"role":"owner"}`,
	`POST /principals/{bot}/grants {"role":"developer","must":"time.hour >= 0"} =grant grants.0.id`,
	`POST /principals/{bot}/tokens {"name":"t{n}"} =token id`,
	`DELETE /principals/{bot}/tokens/{token}?reason=r`,
	`DELETE /principals/{bot}/grants/{grant}?reason=r`,
	`POST /principals/{bot}/disable {"reason":"r"}`,
	`POST /principals/{bot}/enable {"reason":"r"}`,
	`PUT /teams/{team}/ceiling {"keys":3,"usd":"20"}`,
	`DELETE /teams/{team}/ceiling?reason=r`,
	`POST /principals {"name":"gone{n}","kind":"user","email":"gone@example.com"} =gone id`,
	`POST /principals/{gone}/disable {"reason":"r"}`,
	`SWEEP leavers`,
	`GET /leavers?outcome=open =review data.0.id`,
	`POST /leavers/{review}/transfer {"to":"{boss}"}`,
	`PUT /governance {"rules":{"keys":{"max_age":{"high":"90d"}}},"reason":"r"}`,
	`POST /governance/acknowledgements {"version":1,"owner":"ann@example.com"}`,
	`POST /reviews {"reason":"r"}`,
	`GET /reviews =number data.0.number`,
	`POST /reviews/{number}/decide {"kind":"key","object":"{key}","decision":"keep","reason":"r"}`,
	`POST /incidents {"key_id":"{prepaid}","action":"revoke","reason":"leaked"} =incident id`,
	`POST /incidents/{incident}/close {"reason":"rotated"}`,
	`POST /spend/adjustments {"key_id":"{key}","amount_usd":"1.5","kind":"credit","reason":"r"}`,
	`POST /periods/2020-01/close`,
	`POST /periods/2020-01/reopen {"reason":"late"}`,
	`POST /audit/prune {"keep":"90d"}`,
	`GET /audit/export`,
	`POST /keys/{key}/revoke {"reason":"r"}`,
	`POST /keys/{key}/archive {"reason":"r"}`,
	`POST /projects/{project}/archive`,
	`POST /teams/{team}/archive {"reason":"over"}`,
}

// TestNoRecordNoChange lets every statement of every act fail, one at a time, on both
// stores: what has changed has left a record, and where there is none nothing has changed.
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

// TestActsASecond has two routers make keys on one PostgreSQL as quickly as they can.
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

// allOf are the rows of a query as texts.
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

// actRig does all acts on a store whose statements fail when they are told to.
type actRig struct {
	t       *testing.T
	store   billing.Store
	tables  []string
	rows    func(table string) []string
	fail    func(n int) // the so-manieth statement from now on; 0 is none
	hit     func() bool
	handler http.Handler
	actions manage.Actions
	known   map[string]string
	faults  int
	late    int // of them, those after which it was done, with its record
}

func (r *actRig) everything() {
	pepper, err := billing.ParsePepper(strings.Repeat("p", 32))
	if err != nil {
		r.t.Fatal(err)
	}
	r.actions = manage.Actions{Store: r.store, Pepper: pepper}
	reports, _ := r.store.Database.(billing.Reports)
	r.handler = admin.Handler(admin.Options{Actions: r.actions, Reports: reports, Token: func() string { return "secret" }})
	r.known = map[string]string{"n": "0"}
	for _, act := range acts {
		r.do(act)
		if r.t.Failed() {
			r.t.Fatalf("after %d faults: %s", r.faults, act)
		}
	}
	report, err := r.actions.VerifyAudit(r.t.Context())
	if err != nil || report.Fault != nil {
		r.t.Errorf("the audit log: %v, %v", report.Fault, err)
	}
	r.t.Logf("%d acts, %d faults, %d of them after the change was made, %d records", len(acts), r.faults, r.late, report.Records)
}

var (
	actParts = regexp.MustCompile(`^(\S+) (\S+)(?: (\{.*\}))?(?: =(\w+) (\S+))?$`)
	actNames = regexp.MustCompile(`\{(\w+)\}`)
)

// do does an act, after each of its statements has failed once.
func (r *actRig) do(act string) {
	r.t.Helper()
	parts := actParts.FindStringSubmatch(act)
	if parts == nil {
		r.t.Fatalf("cannot be read: %s", act)
	}
	fill := func(s string) string {
		return actNames.ReplaceAllStringFunc(s, func(name string) string { return r.known[strings.Trim(name, "{}")] })
	}
	again := true // from the first statement on, once something was done although the answer is an error
	for n := 1; ; n++ {
		before := r.state()
		r.fail(n)
		status, text := r.ask(parts[1], fill(parts[2]), fill(parts[3]))
		hit := r.hit()
		r.fail(0)
		changed := different(before, r.state())
		recorded := slices.Contains(changed, "audit_log")
		switch {
		case len(changed) > 0 && !recorded:
			r.t.Errorf("%s: statement %d: %v changed without a record (%d %s)", act, n, changed, status, text)
		case recorded && len(changed) == 2 && hit && status >= http.StatusBadRequest && parts[1] != "GET": // audit_log, audit_ends
			r.t.Errorf("%s: statement %d: a record without a change (%d %s)", act, n, status, text)
		}
		if r.t.Failed() {
			return
		}
		switch {
		case status < http.StatusBadRequest: // every statement has failed by now, or this one need not work
			if parts[4] != "" {
				r.known[parts[4]] = member(r.t, text, parts[5])
			}
			if !hit {
				return
			}
			r.faults++
		case !hit && !again && len(changed) == 0: // it is done already, and says so
			return
		case !hit:
			r.t.Errorf("%s: %d %s", act, status, text)
			return
		default:
			r.faults++
		}
		if recorded {
			r.late++
			r.known["n"] = fmt.Sprint(r.late)
			if again {
				n, again = 0, false
			}
		}
	}
}

func (r *actRig) ask(method, path, body string) (int, string) {
	if method == "SWEEP" {
		if err := r.actions.SweepLeavers(r.t.Context(), time.Hour); err != nil {
			return http.StatusInternalServerError, err.Error()
		}
		return http.StatusOK, ""
	}
	req := httptest.NewRequestWithContext(r.t.Context(), method, "/admin/v1"+path, strings.NewReader(body))
	req.Host, req.RemoteAddr = "localhost", "127.0.0.1:1"
	req.Header.Set("Authorization", "Bearer secret")
	w := httptest.NewRecorder()
	func() {
		defer func() { _ = recover() }() // an answer that is cut short
		r.handler.ServeHTTP(w, req)
	}()
	return w.Code, w.Body.String()
}

// state is what stands in all tables.
func (r *actRig) state() map[string][]string {
	all := make(map[string][]string, len(r.tables))
	for _, table := range r.tables {
		rows := r.rows(table)
		slices.Sort(rows)
		all[table] = rows
	}
	return all
}

func different(before, after map[string][]string) (tables []string) {
	for table, rows := range after {
		if !slices.Equal(rows, before[table]) {
			tables = append(tables, table)
		}
	}
	slices.Sort(tables)
	return tables
}

// member is a member of an answer by its path.
func member(t *testing.T, text, path string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for name := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[name]
		case []any:
			if len(at) == 0 {
				t.Fatalf("no %s: %s", path, text)
			}
			v = at[0]
		}
	}
	return fmt.Sprint(v)
}

// faultyDriver is SQLite's, of which the so-manieth statement fails.
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

// next counts a statement. What ends a transaction that has failed does not fail as well.
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
