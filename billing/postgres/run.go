package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"tallyroute/billing"
)

var (
	errClosed   = errors.New("the store is closed")
	errNotAsked = errors.New("no connection")
)

// tries is the maximum number of attempts at work that the database aborted in favour of
// other work, or that never reached it.
const tries = 4

// on runs work on a connection of the request pool.
func (s *Store) on(ctx context.Context, work func(context.Context, *pgx.Conn) error) error {
	return s.within(ctx, s.requests, work)
}

// inTx runs work in one transaction. It can run work more than once.
func (s *Store) inTx(ctx context.Context, work func(context.Context, pgx.Tx) error) error {
	return s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error { return work(ctx, tx) })
	})
}

// change runs work that changes keys, owners or budgets in one transaction, after all
// earlier changes of this kind, whether from this process or another. It can run work
// more than once.
func (s *Store) change(ctx context.Context, work func(context.Context, pgx.Tx) error) error {
	return s.within(ctx, s.changes, func(ctx context.Context, c *pgx.Conn) error {
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", adminLock); err != nil {
				return err
			}
			return work(ctx, tx)
		})
	})
}

// lane is the pool that work runs in, with limits on how long work waits for a connection
// and how long the database takes to do it.
type lane struct {
	pool           *pgxpool.Pool
	acquire, limit time.Duration
}

// within runs work on a connection of a lane, and retries it if it failed without effect.
func (s *Store) within(ctx context.Context, l lane, work func(context.Context, *pgx.Conn) error) error {
	for try := 1; ; try++ {
		err := s.once(ctx, l, work)
		if err == nil || try == tries || ctx.Err() != nil || !again(err) {
			return fault(ctx, err)
		}
	}
}

func (s *Store) once(ctx context.Context, l lane, work func(context.Context, *pgx.Conn) error) error {
	if s.closed.Load() {
		return errClosed
	}
	conn, err := s.connection(ctx, l)
	if err != nil {
		return err
	}
	defer conn.Release()
	ctx, cancel := context.WithTimeout(ctx, l.limit)
	defer cancel()
	return work(ctx, conn.Conn())
}

func (s *Store) connection(ctx context.Context, l lane) (*pgxpool.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.acquire)
	defer cancel()
	conn, err := l.pool.Acquire(ctx)
	if s.way.found(err) {
		conn, err = l.pool.Acquire(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("%w within %s: %w", errNotAsked, l.acquire, err)
	}
	return conn, nil
}

// inDoubt reports whether the database may have carried out work that failed with err:
// the request was sent, but no response came.
func inDoubt(err error) bool {
	return errors.Is(err, billing.ErrUnavailable) && code(err) == "" &&
		!errors.Is(err, errNotAsked) && !errors.Is(err, errClosed)
}

// again reports whether work that failed with err has changed nothing and is likely
// to succeed on a retry.
func again(err error) bool {
	switch code(err) {
	case "40001", "40P01": // serialization failure, deadlock
		return true
	}
	return pgconn.SafeToRetry(err) && !errors.Is(err, context.DeadlineExceeded)
}

// fault turns failures of the database into billing.ErrUnavailable, and leaves errors
// that the caller caused or needs to see unchanged. If the caller's context has ended,
// the error also wraps the context's error.
func fault(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case !away(err) && code(err) == "":
		return err
	case !away(err):
		return fmt.Errorf("billing/postgres: %w", err)
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		return fmt.Errorf("%w: %w: %w", billing.ErrUnavailable, ctx.Err(), err)
	}
	return fmt.Errorf("%w: %w", billing.ErrUnavailable, err)
}

// away reports whether err means that the database cannot serve at the moment.
func away(err error) bool {
	var connect *pgconn.ConnectError
	var network net.Error
	switch c := code(err); {
	case errors.As(err, &connect): // whatever the reason is, the next attempt may succeed
		return true
	case c != "":
		return !ofData(c)
	}
	return errors.Is(err, errClosed) || errors.Is(err, errRelogin) || errors.As(err, &network) || pgconn.Timeout(err) ||
		errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// ofData reports whether an SQLSTATE means that a value is invalid or violates a
// constraint. Any other SQLSTATE means that the server is there but cannot do its work: it
// is out of space, read-only, damaged or not migrated, or we lack a privilege.
func ofData(code string) bool { return strings.HasPrefix(code, "22") || strings.HasPrefix(code, "23") }

// code returns the SQLSTATE of err, or "" if it has none.
func code(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

const (
	uniqueViolation     = "23505"
	checkViolation      = "23514"
	foreignKeyViolation = "23503"
	lockNotAvailable    = "55P03"
)
