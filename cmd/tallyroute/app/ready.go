package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tallyroute/billing"
	"tallyroute/cmd/tallyroute/config"
)

// readiness says whether requests can be answered.
type readiness struct {
	store   billing.Store
	journal func() error // nil while requests can be written down
	// leased is until when requests can be answered without the database; zero
	// where they cannot.
	leased func() time.Time

	mu   sync.Mutex
	not  *notReadyError // nil once the database has been brought up to date
	last *databaseCheck // nil before the first
}

// databaseCheck is one look at the database, shared by all who ask within checkEvery.
type databaseCheck struct {
	began time.Time
	done  chan struct{} // closed once err is known
	err   error
}

// However many ask, the database is looked at once in checkEvery, for no longer
// than checkTime. Who can do without it does not wait for longer than checkPatience.
const (
	checkEvery    = time.Second
	checkTime     = 2 * time.Second
	checkPatience = 250 * time.Millisecond
)

func newReadiness(s billing.Store, journal func() error, leased func() time.Time) *readiness {
	return &readiness{store: s, journal: journal, leased: leased, not: &notReadyError{reason: "starting"}}
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

// check is what a probe may read of how requests can be answered now, or why they
// cannot. While what is leased can be served the router is ready, also without its
// database: a balancer that took it out would turn away those whom it could answer.
func (r *readiness) check(ctx context.Context) (map[string]string, error) {
	r.mu.Lock()
	not := r.not
	r.mu.Unlock()
	if not != nil {
		return nil, not
	}
	if err := r.journal(); err != nil {
		return nil, &notReadyError{"journal: cannot be written", err}
	}
	until := r.leased()
	patience := checkTime
	if !until.IsZero() {
		patience = checkPatience
	}
	err := r.database(ctx, patience)
	if err == nil {
		return map[string]string{"status": "ok", "database": "ok"}, nil
	}
	if not = because(err); until.IsZero() {
		return nil, not
	}
	return map[string]string{
		"status": "degraded", "reason": not.reason, "serving": "keys in use, within what is leased for them",
		"serving_until": until.UTC().Format(time.RFC3339),
	}, nil
}

// database is nil when the database could be used less than checkEvery ago.
func (r *readiness) database(ctx context.Context, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	look := r.look(ctx)
	select {
	case <-look.done:
		return look.err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", billing.ErrUnavailable, ctx.Err())
	}
}

// look is the last look at the database, or a new one. It goes on without who began it.
func (r *readiness) look(ctx context.Context) *databaseCheck {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last != nil && time.Since(r.last.began) < checkEvery {
		return r.last
	}
	if r.last != nil {
		select {
		case <-r.last.done:
		default:
			return r.last // it does not answer
		}
	}
	look := &databaseCheck{began: time.Now(), done: make(chan struct{})}
	r.last = look
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTime)
		defer cancel()
		look.err = r.store.Ready(ctx)
		close(look.done)
	}()
	return look
}

// reloaded is how reading the configuration again went.
type reloaded struct {
	at      time.Time
	err     error    // why it was rejected
	restart []string // settings that take effect at the next start
}

// What a configuration cannot be reloaded for, besides its faults.
var (
	errGone   = errors.New("the file is gone")
	errEmpty  = errors.New("the file is empty")
	errNoFile = errors.New("it was not read from a file")
)

// reason is why a configuration was rejected, as anybody may read it: the first fault
// and how many there are. Faults name places and repeat no values.
func reason(err error) string {
	var faults config.Faults
	var conflict *billing.ConflictError
	switch {
	case errors.Is(err, errGone), errors.Is(err, errEmpty), errors.Is(err, errNoFile):
		return err.Error()
	case errors.Is(err, billing.ErrUnavailable):
		return "the database does not answer, which has to know its prices"
	case errors.As(err, &conflict):
		return conflict.Detail
	case !errors.As(err, &faults):
		return "it cannot be put in force; the log says why"
	case len(faults) > 1:
		return fmt.Sprintf("%s, and %d more", faults[0], len(faults)-1)
	}
	return faults[0].String()
}
