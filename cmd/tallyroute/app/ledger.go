package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/journal"
	"tallyroute/billing/lease"
	"tallyroute/cmd/tallyroute/config"
)

// ledger is the router's ledger, with reports that include what it has settled. Without a
// journal it is the store itself.
type ledger struct {
	billing.Ledger
	store billing.Store
	dir   string        // of the journal
	log   *journal.Log  // nil without a journal
	fast  *lease.Ledger // nil without a journal

	name      atomic.Pointer[string] // of the database, once confirmed
	confirmed chan struct{}          // closed once the journal is known to belong to the database
	once      sync.Once
}

// mostJournals is how many routers on one machine can find a journal of their own beside a
// shared database without being told which to use.
const mostJournals = 64

// journalKeep is how long posted entries can be posted again, in case the database turns
// out to have lost them.
const journalKeep = 10 * time.Minute

// openJournal opens the configured directory, or else the first one beside the database
// that no other process uses.
func openJournal(c *config.Config) (string, *journal.Log, error) {
	o := journal.Options{Sync: journal.Sync(c.JournalSync), MaxBytes: c.JournalMaxBytes, Keep: journalKeep}
	if c.Journal != "" {
		log, err := journal.Open(c.Journal, o)
		return c.Journal, log, err
	}
	base := "tallyroute.journal"
	if path, err := c.Database.SQLitePath(); err == nil {
		base = filepath.Clean(path) + ".journal"
	}
	dir := base
	for n := 2; ; n++ {
		log, err := journal.Open(dir, o)
		if !errors.Is(err, journal.ErrLocked) || n > mostJournals {
			return dir, log, err
		}
		dir = fmt.Sprintf("%s.%d", base, n)
	}
}

// run keeps the ledger going, once the journal is known to belong to the database.
func (b *ledger) run(ctx context.Context) error {
	if b.fast == nil {
		return nil
	}
	select {
	case <-b.confirmed:
		return b.fast.Run(ctx)
	case <-ctx.Done():
		return nil
	}
}

// ledgerFile is where a journal keeps the name of its database.
const ledgerFile = "ledger"

// wrongJournalError means that a journal holds spend of another database.
type wrongJournalError struct{ dir string }

func (e *wrongJournalError) Error() string {
	return fmt.Sprintf("the journal in %s has spend that belongs to another database; "+
		"start once with that database to store it, or name another directory as journal", e.dir)
}

// confirm makes sure that what is in the journal belongs to the database. An empty journal
// may move to another database.
func (b *ledger) confirm(ctx context.Context) error {
	if b.fast == nil {
		return nil
	}
	id, err := b.store.Setting(ctx, billing.LedgerSetting, billing.NewID("ledger_"))
	if err != nil {
		return err
	}
	file := filepath.Join(b.dir, ledgerFile)
	known, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if string(known) != id {
		if left, _ := b.fast.Backlog(); left > 0 && len(known) > 0 {
			return &wrongJournalError{b.dir}
		}
		if len(known) > 0 {
			b.fast.Disown()
		}
		if err := os.WriteFile(file, []byte(id), 0o600); err != nil {
			return err
		}
	}
	b.name.Store(&id)
	b.once.Do(func() { close(b.confirmed) })
	return nil
}

// sign writes the name of the database into a recreated journal.
func (b *ledger) sign() {
	if id := b.name.Load(); id != nil {
		_ = os.WriteFile(filepath.Join(b.dir, ledgerFile), []byte(*id), 0o600)
	}
}

// unavailable returns nil as long as requests can be written down.
func (b *ledger) unavailable() error {
	if b.fast == nil {
		return nil
	}
	return b.fast.Unavailable()
}

// leased returns until when keys that v remembers can be served without the database; zero
// if none can.
func (b *ledger) leased(v *billing.Verifier) time.Time {
	if b.fast == nil {
		return time.Time{}
	}
	keys, leases := v.Until(b.now()), b.fast.Until()
	if keys.Before(leases) {
		return keys
	}
	return leases
}

// now returns the time by the database's clock.
func (b *ledger) now() time.Time {
	if b.fast == nil {
		return time.Now()
	}
	return b.fast.Now()
}

// flush posts everything settled to the database.
func (b *ledger) flush(ctx context.Context) error {
	if b.fast == nil {
		return nil
	}
	return b.fast.Flush(ctx)
}

// Events implements billing.Reports.
func (b *ledger) Events(ctx context.Context, q billing.EventQuery) ([]billing.Spend, error) {
	if err := b.flush(ctx); err != nil {
		return nil, err
	}
	return b.store.Events(ctx, q)
}

// ListRejects implements router.Events.
func (b *ledger) ListRejects(ctx context.Context, requestID string) ([]billing.RejectedRow, error) {
	if err := b.flush(ctx); err != nil {
		return nil, err
	}
	return b.store.ListRejects(ctx, requestID)
}

// Spend implements billing.Reports.
func (b *ledger) Spend(ctx context.Context, q billing.SpendQuery) (billing.SpendReport, error) {
	if err := b.flush(ctx); err != nil {
		return billing.SpendReport{}, err
	}
	return b.store.Spend(ctx, q)
}

// readiness knows whether requests can be answered.
type readiness struct {
	store   billing.Store
	journal func() error // nil as long as requests can be written down
	// leased returns until when requests can be answered without the database; zero if they
	// can't be.
	leased func() time.Time

	mu   sync.Mutex
	not  *notReadyError // nil once the database has been brought up to date
	last *databaseCheck // nil before the first one
}

// databaseCheck is one probe of the database, shared by all who ask within checkEvery.
type databaseCheck struct {
	began time.Time
	done  chan struct{} // closed once err is known
	err   error
}

// However many callers ask, the database is probed once per checkEvery, for at most
// checkTime. Callers that can do without the database wait no longer than checkPatience.
const (
	checkEvery    = time.Second
	checkTime     = 2 * time.Second
	checkPatience = 250 * time.Millisecond
)

func newReadiness(s billing.Store, journal func() error, leased func() time.Time) *readiness {
	return &readiness{store: s, journal: journal, leased: leased, not: &notReadyError{reason: "starting"}}
}

// notReadyError has a reason that anybody may read, and an error for the log.
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

// Reason returns what a client may read: no host, no name, no SQL statement.
func (e *notReadyError) Reason() string { return e.reason }

func (e *notReadyError) Unwrap() error { return e.err }

// because returns the public reason why a database can't be used.
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

// stop says that nothing new is to be sent here, for good.
func (r *readiness) stop() { r.set(&notReadyError{reason: stopping}) }

const stopping = "stopping"

// up reports whether the database has been brought up to date.
func (r *readiness) up() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.not == nil || r.not.reason == stopping
}

// check returns what a probe may read about how requests can be answered now, or why they
// can't be. A router that can still serve from its leases is ready, even without its
// database: a load balancer that took it out of rotation would turn away clients that it
// could serve.
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

// database returns nil if the database was usable less than checkEvery ago.
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

// look returns the last probe of the database, or starts a new one. The probe continues
// even if whoever started it goes away.
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

// reloaded is the outcome of rereading the configuration.
type reloaded struct {
	at      time.Time
	err     error    // why it was rejected
	restart []string // settings that take effect at the next start
}

// Reasons why a configuration can't be reloaded, besides its faults.
var (
	errGone   = errors.New("the file is gone")
	errEmpty  = errors.New("the file is empty")
	errNoFile = errors.New("it was not read from a file")
)

// reason returns why a configuration was rejected, in a form that anybody may read: the
// first fault and the number of faults. Faults name settings and never repeat values.
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
