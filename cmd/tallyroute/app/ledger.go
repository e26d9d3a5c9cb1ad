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
