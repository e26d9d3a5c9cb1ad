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

// tries is how often work is begun that the database gave up for the sake of
// other work, or that never reached it.
const tries = 4

// on does work on a connection of the pool.
func (s *Store) on(ctx context.Context, work func(context.Context, *pgx.Conn) error) error {
	return s.within(ctx, s.requests, work)
}

// inTx does work in one transaction. It may be done more than once.
func (s *Store) inTx(ctx context.Context, work func(context.Context, pgx.Tx) error) error {
	return s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error { return work(ctx, tx) })
	})
}

// change does work that changes keys, owners or budgets, in one transaction and after
// all of its kind that came before, of this process or another. It may be done more
// than once.
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

// lane is where work is done, how long it may wait for a connection, and how long the
// database may take over it.
type lane struct {
	pool           *pgxpool.Pool
	acquire, limit time.Duration
}

// within is on in another lane.
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

// inDoubt reports whether the database may have done what failed with err: it
// was asked, and no answer came.
func inDoubt(err error) bool {
	return errors.Is(err, billing.ErrUnavailable) && code(err) == "" &&
		!errors.Is(err, errNotAsked) && !errors.Is(err, errClosed)
}

// again reports whether work that failed with err has changed nothing and is
// likely to succeed now.
func again(err error) bool {
	switch code(err) {
	case "40001", "40P01": // serialization failure, deadlock
		return true
	}
	return pgconn.SafeToRetry(err) && !errors.Is(err, context.DeadlineExceeded)
}

// fault makes the database's own faults billing.ErrUnavailable and leaves what
// the caller did, or is to know, as it is. When the caller has gone, the error
// says that too.
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
	case errors.As(err, &connect): // whatever the reason is, it may be gone the next time
		return true
	case c != "":
		return !ofData(c)
	}
	return errors.Is(err, errClosed) || errors.Is(err, errRelogin) || errors.As(err, &network) || pgconn.Timeout(err) ||
		errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// ofData reports whether an SQLSTATE says that a value is not one, or breaks a
// rule. Every other one is of a server that is there but cannot do its work:
// out of room, read-only, damaged, not migrated, or without a right that it had.
func ofData(code string) bool { return strings.HasPrefix(code, "22") || strings.HasPrefix(code, "23") }

// code is the SQLSTATE of err, or "".
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
