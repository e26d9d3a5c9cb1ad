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

	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"

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

const journalOff = "off"

// openLedger opens the journal and takes up what it has of an earlier process.
func (s *Service) openLedger(cfg *config.Config) (*ledger, error) {
	if cfg.Journal == journalOff {
		return &ledger{Ledger: s.store, store: s.store}, nil
	}
	dir, log, err := openJournal(cfg)
	if err != nil {
		return nil, fmt.Errorf("journal: %w; name another directory, or set journal: off to hold in the database", err)
	}
	zone, err := Zone(cfg)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	host, _ := os.Hostname()
	b := &ledger{store: s.store, dir: dir, log: log, confirmed: make(chan struct{})}
	fast, err := lease.Open(s.store, log, lease.Options{
		Replica: log.ID(), Name: fmt.Sprintf("%s/%d", host, os.Getpid()), Zone: zone, TTL: time.Duration(cfg.OfflineTTL),
		Room: cfg.JournalMaxBytes / 8 * 7, Overrun: overrunLimit(cfg.Overrun),
		Recovered: s.metrics.Booked,
		Report: func(err error) {
			s.Log.Warn("ledger", zap.Error(err))
			if errors.Is(err, journal.ErrLost) {
				b.sign()
			}
		},
	})
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	if left, _ := fast.Backlog(); left > 0 {
		s.Log.Info("taking up what an earlier process left in the journal", zap.Int("requests", left))
	}
	b.Ledger, b.fast = fast, fast
	s.metrics.WatchLedger(fast, log)
	return b, nil
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

const (
	// ledgerSetting is under which name a database keeps its own name.
	ledgerSetting = "ledger_id"
	// ledgerFile is where a journal keeps the name of its database.
	ledgerFile = "ledger"
)

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
	id, err := b.store.Setting(ctx, ledgerSetting, "ledger_"+ulid.Make().String())
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

// sign writes the name of the database into a journal that was made anew.
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

// closeLedger stores what is settled. What the database does not take any more
// waits in the journal for the next start.
func (s *Service) closeLedger() {
	if s.ledger.fast == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), settleGrace)
	defer cancel()
	select {
	case <-s.ledger.confirmed:
		if err := s.ledger.fast.Close(ctx); err != nil {
			s.Log.Warn("the next start takes up what is left in the journal", zap.Error(err))
		}
	default:
	}
	if err := s.ledger.log.Close(); err != nil {
		s.Log.Error("closing the journal", zap.Error(err))
	}
}

// forgetEvery is how often it is looked for replicas that do not come back.
const forgetEvery = time.Minute

// forgetLost gives back what lost replicas had leased, until ctx ends.
func (s *Service) forgetLost(ctx context.Context) error {
	for Wait(ctx, forgetEvery) {
		after := time.Duration(s.now().cfg.ReplicaLostAfter)
		if after == 0 || !s.ready.up() {
			continue
		}
		lost, err := s.store.ForgetLost(ctx, after)
		if err != nil {
			s.Log.Warn("looking for lost replicas", zap.Error(err))
		}
		for _, id := range lost {
			s.Log.Warn("a replica did not come back: what it had leased was given back; its journal may still hold spend",
				zap.String("replica", id))
		}
	}
	return nil
}

// Usage implements billing.Reports.
func (b *ledger) Usage(ctx context.Context, q billing.UsageQuery) ([]billing.UsageRow, error) {
	if err := b.flush(ctx); err != nil {
		return nil, err
	}
	return b.store.Usage(ctx, q)
}

// ListPrices implements billing.Reports.
func (b *ledger) ListPrices(ctx context.Context, provider, model string) ([]billing.Price, error) {
	return b.store.ListPrices(ctx, provider, model)
}

// PricedUsage implements billing.Reports.
func (b *ledger) PricedUsage(ctx context.Context, q billing.SpendQuery, provider, model string) ([]billing.PricedUsage, error) {
	if err := b.flush(ctx); err != nil {
		return nil, err
	}
	return b.store.PricedUsage(ctx, q, provider, model)
}
