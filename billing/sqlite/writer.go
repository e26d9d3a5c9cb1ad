package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"tallyroute/billing"
)

// writer owns the one connection that writes. What is asked of it while it is
// busy shares the next transaction, and so one wait for the disk. Each job has
// a savepoint of its own and succeeds or fails alone, unless the database does.
type writer struct {
	db      *sql.DB
	conn    *sql.Conn
	tx      *session
	jobs    chan *job
	closing chan struct{}
	stopped chan struct{}
	ended   error // that the last work ended with
	once    sync.Once
}

// job is a change that somebody waits for.
type job struct {
	change func(ctx context.Context, tx *session) error
	taken  atomic.Bool // by the writer, or back by whoever waits
	err    error
	done   chan struct{}
}

// patience is how long to wait for another process; in pragmas, in milliseconds.
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

func openWriter(ctx context.Context, dsn string) (*writer, error) {
	db, err := sql.Open("sqlite3", dsn)
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

// firstConn opens a connection. The switch of a new file to WAL mode does not
// wait for others that switch it at the same moment, so it is tried again.
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

// do runs change in a transaction and returns when it is on the disk. A change
// that has begun is not interrupted; change must do nothing but use tx.
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

// close ends the connection. All that is in the log beside the file is moved
// into the file first, as far as other processes let it: whoever copies the file
// of a router that has stopped has everything.
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

// gather is first and whatever else is waiting.
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

// together runs a batch in one transaction. If the database fails, it fails for
// all of them.
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

// one runs a job. Its own error is for whoever waits. Where the database has given
// up the whole transaction there is no savepoint left, and that is the result.
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
