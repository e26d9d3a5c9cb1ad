package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"tallyroute/billing"
	"tallyroute/billing/policy"
)

// session runs statements and prepares each of them only once. Its errors have been through
// fault.
type session struct {
	db         database
	mu         sync.RWMutex
	statements map[string]*sql.Stmt
}

// database is a pool or one connection.
type database interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// scanner fills variables from the columns of a row.
type scanner func(columns ...any) error

func newSession(db database) *session {
	return &session{db: db, statements: make(map[string]*sql.Stmt)}
}

func (s *session) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, st := range s.statements {
		errs = append(errs, st.Close())
	}
	clear(s.statements)
	return errors.Join(errs...)
}

func (s *session) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	s.mu.RLock()
	st := s.statements[query]
	s.mu.RUnlock()
	if st != nil {
		return st, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.statements[query]; st != nil {
		return st, nil
	}
	st, err := s.db.PrepareContext(ctx, query) //nolint:sqlclosecheck // close does it
	if err != nil {
		return nil, fault(err)
	}
	s.statements[query] = st
	return st, nil
}

// exec runs a statement and returns how many rows it changed.
func (s *session) exec(ctx context.Context, query string, args ...any) (int64, error) {
	st, err := s.prepared(ctx, query) //nolint:sqlclosecheck // close does it
	if err != nil {
		return 0, err
	}
	result, err := st.ExecContext(ctx, args...)
	if err != nil {
		return 0, fault(err)
	}
	n, err := result.RowsAffected()
	return n, fault(err)
}

// script runs several statements that have no arguments.
func (s *session) script(ctx context.Context, text string) error {
	_, err := s.db.ExecContext(ctx, text)
	return fault(err)
}

// row reads at most one row and reports whether there was one.
func (s *session) row(ctx context.Context, query string, args []any, columns ...any) (bool, error) {
	st, err := s.prepared(ctx, query) //nolint:sqlclosecheck // close does it
	if err != nil {
		return false, err
	}
	err = st.QueryRowContext(ctx, args...).Scan(columns...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, fault(err)
}

// rows calls each for every row.
func (s *session) rows(ctx context.Context, query string, args []any, each func(scan scanner) error) (err error) {
	st, err := s.prepared(ctx, query) //nolint:sqlclosecheck // close does it
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(ctx, args...)
	if err != nil {
		return fault(err)
	}
	defer func() { err = fault(errors.Join(err, rows.Close())) }()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// fault turns a database error into one of package billing: what violates a rule of the schema
// is a duplicate, a conflict or a plain error; everything else means that the database is
// unavailable at present.
func fault(err error) error {
	if err == nil || errors.Is(err, billing.ErrUnavailable) {
		return err
	}
	var broken *sqlite3.Error
	if !errors.As(err, &broken) || broken.Code() != sqlite3.CONSTRAINT {
		return fmt.Errorf("billing/sqlite: %w: %w", billing.ErrUnavailable, err)
	}
	switch broken.ExtendedCode() {
	case sqlite3.CONSTRAINT_PRIMARYKEY, sqlite3.CONSTRAINT_UNIQUE, sqlite3.CONSTRAINT_ROWID:
		return fmt.Errorf("billing/sqlite: %w: %w", billing.ErrDuplicate, err)
	case sqlite3.CONSTRAINT_TRIGGER:
		return &billing.ConflictError{Detail: strings.TrimPrefix(broken.Error(), "sqlite3: constraint failed: ")}
	default:
		return fmt.Errorf("billing/sqlite: %w", err)
	}
}

// writer owns the one connection that writes. Jobs that arrive while it is busy share the next
// transaction, and so one wait for the disk. Each job has a savepoint of its own and succeeds or
// fails alone, unless the database itself fails.
type writer struct {
	db      *sql.DB
	conn    *sql.Conn
	tx      *session
	jobs    chan *job
	closing chan struct{}
	stopped chan struct{}
	ended   error // of the final checkpoint
	once    sync.Once
}

// job is a change that a caller is waiting for.
type job struct {
	change func(ctx context.Context, tx *session) error
	taken  atomic.Bool // by the writer, or back by the caller when it gives up
	err    error
	done   chan struct{}
}

// patience is how long to wait for another process; busyTimeout is the same as a pragma, in
// milliseconds.
const (
	patience    = 5 * time.Second
	busyTimeout = "busy_timeout(5000)"
)

// mostJobs bounds how long one transaction keeps other processes waiting.
const mostJobs = 256

const (
	begin      = `BEGIN IMMEDIATE`
	commit     = `COMMIT`
	rollback   = `ROLLBACK`
	savepoint  = `SAVEPOINT job`
	release    = `RELEASE job`
	rollbackTo = `ROLLBACK TO job`
	checkpoint = `PRAGMA wal_checkpoint(TRUNCATE)`
)

var errClosed = fmt.Errorf("billing/sqlite: %w: the store is closed", billing.ErrUnavailable)

func openWriter(ctx context.Context, driver, dsn string) (*writer, error) {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, fault(err)
	}
	db.SetMaxOpenConns(1)
	conn, err := firstConn(ctx, db)
	if err != nil {
		return nil, errors.Join(fault(err), db.Close())
	}
	w := &writer{
		db: db, conn: conn, tx: newSession(conn),
		jobs: make(chan *job), closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	go w.run(context.WithoutCancel(ctx))
	return w, nil
}

// firstConn opens a connection. Switching a new file to WAL mode does not wait for other
// processes that switch it at the same moment, so it is retried.
func firstConn(ctx context.Context, db *sql.DB) (*sql.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		conn, err := db.Conn(ctx)
		if !errors.Is(err, sqlite3.BUSY) {
			return conn, err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// do runs change in a transaction and returns once it is on disk. A change that has begun is not
// interrupted; change must do nothing but use tx.
func (w *writer) do(ctx context.Context, change func(ctx context.Context, tx *session) error) error {
	j := &job{change: change, done: make(chan struct{})}
	select {
	case <-ctx.Done():
		return fault(ctx.Err())
	default:
	}
	select {
	case w.jobs <- j:
	case <-ctx.Done():
		return fault(ctx.Err())
	case <-w.closing:
		return errClosed
	}
	select {
	case <-j.done:
	case <-ctx.Done():
		if j.taken.CompareAndSwap(false, true) {
			return fault(ctx.Err())
		}
		<-j.done
	}
	return j.err
}

// close ends the connection. First it moves everything from the log beside the file into the
// file, as far as other processes allow: a copy of the file of a stopped router is then
// complete.
func (w *writer) close() error {
	w.once.Do(func() { close(w.closing) })
	<-w.stopped
	return errors.Join(w.ended, w.tx.close(), w.conn.Close(), w.db.Close())
}

func (w *writer) run(ctx context.Context) {
	defer close(w.stopped)
	for {
		select {
		case j := <-w.jobs:
			w.together(ctx, w.gather(j))
		case <-w.closing:
			_, err := w.conn.ExecContext(ctx, checkpoint)
			w.ended = fault(err)
			return
		}
	}
}

// gather returns first and whatever else is waiting, up to mostJobs.
func (w *writer) gather(first *job) []*job {
	batch := []*job{first}
	for len(batch) < mostJobs {
		select {
		case j := <-w.jobs:
			batch = append(batch, j)
		default:
			return batch
		}
	}
	return batch
}

// together runs a batch in one transaction. If the database fails, all the jobs fail.
func (w *writer) together(ctx context.Context, batch []*job) {
	_, err := w.tx.exec(ctx, begin)
	for _, j := range batch {
		if j.taken.CompareAndSwap(false, true) && err == nil {
			err = w.one(ctx, j)
		}
	}
	if err == nil {
		_, err = w.tx.exec(ctx, commit)
	}
	if err != nil {
		_, _ = w.tx.exec(ctx, rollback) // there may be nothing left to roll back
	}
	for _, j := range batch {
		if err != nil {
			j.err = err
		}
		close(j.done)
	}
}

// one runs a job. The job's own error goes to its caller alone. If the database has rolled back
// the whole transaction, there is no savepoint left, and one returns that error.
func (w *writer) one(ctx context.Context, j *job) error {
	if _, err := w.tx.exec(ctx, savepoint); err != nil {
		return err
	}
	j.err = j.change(ctx, w.tx)
	if j.err != nil {
		if _, err := w.tx.exec(ctx, rollbackTo); err != nil {
			return err
		}
	}
	_, err := w.tx.exec(ctx, release)
	return err
}

// layout has a fixed width, so that instants compare as text.
const layout = "2006-01-02T15:04:05.000000000Z"

// always and never are the bounds stored for a window that has none.
const (
	always = "0001-01-01T00:00:00.000000000Z" // the zero time.Time
	never  = "9999-12-31T23:59:59.999999999Z"
)

func stamp(t time.Time) string { return t.UTC().Format(layout) }

// stampOrNull is for columns that store the zero time as NULL.
func stampOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return stamp(t)
}

// stampEnd is for the ends of windows; it writes the zero time as never.
func stampEnd(t time.Time) string {
	if t.IsZero() {
		return never
	}
	return stamp(t)
}

// instant scans what stamp, stampOrNull and stampEnd wrote.
type instant struct{ to *time.Time }

// Scan implements sql.Scanner.
func (i instant) Scan(v any) error {
	s, ok := v.(string)
	if !ok || s == always || s == never {
		*i.to = time.Time{}
		return nil
	}
	t, err := time.Parse(layout, s)
	*i.to = t
	return err
}

// seconds scans a duration that is stored as a number of seconds.
type seconds struct{ to *time.Duration }

// Scan implements sql.Scanner.
func (s seconds) Scan(v any) error {
	n, ok := v.(int64)
	if !ok && v != nil {
		return fmt.Errorf("billing/sqlite: %T instead of seconds", v)
	}
	*s.to = time.Duration(n) * time.Second
	return nil
}

// jsonText scans a list or a map.
type jsonText struct{ to any }

var _ sql.Scanner = jsonText{}

// Scan implements sql.Scanner.
func (j jsonText) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("billing/sqlite: %T instead of JSON", v)
	}
	if s == "[]" || s == "{}" {
		return nil // the target stays nil, as the value was when it was written
	}
	return json.Unmarshal([]byte(s), j.to)
}

// thresholds scans percentages. An empty list stays an empty list; it does not become the
// thresholds of a budget that names none.
type thresholds struct{ to *[]int }

var _ sql.Scanner = thresholds{}

// Scan implements sql.Scanner.
func (t thresholds) Scan(v any) error {
	*t.to = []int{}
	return jsonText{t.to}.Scan(v)
}

// policyOrNull returns the JSON of a policy, or NULL if there is none.
func policyOrNull(p *policy.Policy) any {
	if p == nil {
		return nil
	}
	b, err := json.Marshal(p)
	if err != nil {
		return "null" // texts and numbers always have a JSON form
	}
	return billing.CleanText(string(b))
}

// asJSON encodes values that can always be encoded: texts and containers of them.
func asJSON[T []string | []netip.Prefix | map[string]string](v T) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "null" // the schema refuses it where it matters
	}
	return string(b)
}

// text returns s, or NULL if it is empty.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// orNull returns a number, or NULL if it is unknown.
func orNull[T ~int64](n *T) any {
	if n == nil {
		return nil
	}
	return int64(*n)
}

// nonzero returns an amount, or NULL for zero.
func nonzero(m billing.Money) any {
	if m == 0 {
		return nil
	}
	return int64(m)
}

// jsonOrNull returns v as JSON, or NULL if there is nothing in it.
func jsonOrNull(v any) any {
	b, err := json.Marshal(v)
	if err != nil || string(b) == "null" || string(b) == "[]" {
		return nil
	}
	return string(b)
}

// blob returns b, or NULL if it is empty.
func blob(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}
