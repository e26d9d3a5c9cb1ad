package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/ncruces/go-sqlite3"

	"tallyroute/billing"
)

// session runs statements, each of which is prepared once. Its errors have been
// through fault.
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

// exec runs a statement and says how many rows it changed.
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

// row reads at most one row and says whether there was one.
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

// rows calls each with every row.
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

// fault turns an error of the database into one of billing: what breaks a rule
// of the schema is a duplicate, a conflict or a plain error, and everything
// else means that the database cannot be used now.
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
