package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing"
)

// readiness says whether requests can be answered.
type readiness struct {
	store billing.Store
	books func() error // nil while requests can be written down

	mu  sync.Mutex
	not *notReadyError // nil once the database has been brought up to date
}

func newReadiness(s billing.Store, books func() error) *readiness {
	return &readiness{store: s, books: books, not: &notReadyError{reason: "starting"}}
}

// notReadyError has a reason that anybody may read, and the error for the log.
type notReadyError struct {
	reason string
	err    error
}

func (e *notReadyError) Error() string {
	if e.err == nil {
		return "not ready: " + e.reason
	}
	return fmt.Sprintf("not ready: %s: %v", e.reason, e.err)
}

// Reason is what a client may read: no host, no name, no statement.
func (e *notReadyError) Reason() string { return e.reason }

func (e *notReadyError) Unwrap() error { return e.err }

// because finds the words for a database that cannot be used.
func because(err error) *notReadyError {
	if errors.Is(err, billing.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		return &notReadyError{"database: does not answer", err}
	}
	return &notReadyError{"database: cannot be used", err}
}

func (r *readiness) set(not *notReadyError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.not == nil || r.not.reason != stopping {
		r.not = not
	}
}

// stop says for good that nothing new is to be sent here.
func (r *readiness) stop() { r.set(&notReadyError{reason: stopping}) }

const stopping = "stopping"

// up reports whether the database has been brought up to date.
func (r *readiness) up() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.not == nil || r.not.reason == stopping
}

// check is nil when requests can be answered now.
func (r *readiness) check(ctx context.Context) error {
	r.mu.Lock()
	not := r.not
	r.mu.Unlock()
	if not != nil {
		return not
	}
	if err := r.store.Ready(ctx); err != nil {
		return because(err)
	}
	if err := r.books(); err != nil {
		return &notReadyError{"journal: cannot be written", err}
	}
	return nil
}

// The pauses between two tries to bring the database up. The longest is short
// enough for readyz to heal within two seconds.
const (
	firstTry = 50 * time.Millisecond
	lastTry  = time.Second
)

// bringUp brings the database up to date, however long it is away. It returns an
// error only for what no waiting can heal.
func (s *service) bringUp(ctx context.Context) error {
	last := ""
	for gap := firstTry; ; gap = min(2*gap, lastTry) {
		err := s.prepare(ctx)
		if err == nil {
			s.verifier.Open()
			s.ready.set(nil)
			s.log.Info("ready", zap.Stringer("database", s.cfg.Database))
			s.tellPooler()
			return nil
		}
		if errors.As(err, new(*wrongPepperError)) || errors.As(err, new(*wrongJournalError)) {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		not := because(err)
		s.ready.set(not)
		if not.reason != last {
			s.log.Warn("waiting for the database", zap.Error(err))
			last = not.reason
		}
		if !wait(ctx, gap) {
			return nil
		}
	}
}

// prepare makes the tables, confirms the pepper and records the prices.
func (s *service) prepare(ctx context.Context) error {
	applied, err := s.store.Migrate(ctx)
	if err != nil {
		return err
	}
	if len(applied) > 0 {
		s.log.Info("migrated", zap.Strings("applied", applied))
	}
	if err := s.pepper.confirm(ctx, s.store); err != nil {
		return err
	}
	if err := s.books.confirm(ctx); err != nil {
		return err
	}
	return s.store.RecordPrices(ctx, s.prices.All())
}

// tellPooler says what is different where the database is reached through a pooler.
func (s *service) tellPooler() {
	store, ok := s.store.(interface{ Pooled() (pooled, direct bool) })
	if !ok {
		return
	}
	switch pooled, direct := store.Pooled(); {
	case pooled && !direct:
		s.log.Info("the database is reached through a pooler: statements are not prepared, time-outs of the server are those of its role, " +
			"and routers look every 250 ms for budgets that others want; database_direct, an address past the pooler, lets them be told")
	case pooled:
		s.log.Info("the database is reached through a pooler: statements are not prepared, and time-outs of the server are those of its role")
	}
}
