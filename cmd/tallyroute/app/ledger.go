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

// ledger is that of the router, and the reports that know what it has
// settled. Without a journal it is the store itself.
type ledger struct {
	billing.Ledger
	store billing.Store
	dir   string        // of the journal
	log   *journal.Log  // nil without a journal
	fast  *lease.Ledger // nil without a journal

	name      atomic.Pointer[string] // of the database, once it is confirmed
	confirmed chan struct{}          // closed once the journal is known to belong to the database
	once      sync.Once
}

// mostJournals is how many routers of one machine find a journal of their own
// beside one database, without being told of one.
const mostJournals = 64

// journalKeep is how long what was posted can be posted again, if the database
// turns out to have lost it.
const journalKeep = 10 * time.Minute

// openJournal opens the directory that is configured, or else the first beside
// the database that no other process uses.
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

// run keeps the ledger going, once it is known that the journal is the database's.
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

// wrongJournalError is a journal with spend of another database.
type wrongJournalError struct{ dir string }

func (e *wrongJournalError) Error() string {
	return fmt.Sprintf("the journal in %s has spend that belongs to another database; "+
		"start once with that database to store it, or name another directory as journal", e.dir)
}

// confirm makes sure that what is in the journal belongs to the database. A
// journal without anything left may move to another one.
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

// sign writes the name of the database into a journal that was recreated.
func (b *ledger) sign() {
	if id := b.name.Load(); id != nil {
		_ = os.WriteFile(filepath.Join(b.dir, ledgerFile), []byte(*id), 0o600)
	}
}

// unavailable is nil while requests can be written down.
func (b *ledger) unavailable() error {
	if b.fast == nil {
		return nil
	}
	return b.fast.Unavailable()
}

// leased is until when keys that v remembers can be served without the database;
// zero where none can.
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

// now is the time by the database's clock.
func (b *ledger) now() time.Time {
	if b.fast == nil {
		return time.Now()
	}
	return b.fast.Now()
}

// flush makes the database know what is settled.
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
