package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/journal"
	"tallyroute/billing/lease"
)

// books is the ledger of the router, and the reports that know what it has
// settled. Without a journal it is the store itself.
type books struct {
	billing.Ledger
	store billing.Store
	log   *journal.Log  // nil without a journal
	fast  *lease.Ledger // nil without a journal
}

const journalOff = "off"

// openBooks opens the journal and takes up what it has of an earlier process.
func (s *service) openBooks() (*books, error) {
	if s.cfg.Journal == journalOff {
		return &books{Ledger: s.store, store: s.store}, nil
	}
	log, err := s.cfg.openJournal()
	if err != nil {
		return nil, fmt.Errorf("journal: %w; name another directory, or set journal: off to hold in the database", err)
	}
	zone, err := time.LoadLocation(s.cfg.ReportingTimezone)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reporting_timezone: %w", err), log.Close())
	}
	host, _ := os.Hostname()
	fast, err := lease.Open(s.store, log, lease.Options{
		Replica: log.ID(), Name: fmt.Sprintf("%s/%d", host, os.Getpid()), Zone: zone, TTL: time.Duration(s.cfg.OfflineTTL),
		Report: func(err error) { s.log.Warn("ledger", zap.Error(err)) },
	})
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	if left, _ := fast.Backlog(); left > 0 {
		s.log.Info("taking up what an earlier process left in the journal", zap.Int("requests", left))
	}
	b := &books{Ledger: fast, store: s.store, log: log, fast: fast}
	s.metrics.watchBooks(b)
	return b, nil
}

// mostJournals is how many routers of one machine find a journal of their own
// beside one database, without being told of one.
const mostJournals = 64

// openJournal opens the directory that is configured, or else the first beside
// the database that no other process uses.
func (c *Config) openJournal() (*journal.Log, error) {
	o := journal.Options{Sync: journal.Sync(c.JournalSync), MaxBytes: c.JournalMaxBytes}
	if c.Journal != "" {
		return journal.Open(c.Journal, o)
	}
	base := "tallyroute.journal"
	if path, err := c.Database.sqlitePath(); err == nil {
		base = filepath.Clean(path) + ".journal"
	}
	dir := base
	for n := 2; ; n++ {
		log, err := journal.Open(dir, o)
		if !errors.Is(err, journal.ErrLocked) || n > mostJournals {
			return log, err
		}
		dir = fmt.Sprintf("%s.%d", base, n)
	}
}

// run keeps the ledger going.
func (b *books) run(ctx context.Context) error {
	if b.fast == nil {
		return nil
	}
	return b.fast.Run(ctx)
}

// unavailable is nil while requests can be written down.
func (b *books) unavailable() error {
	if b.fast == nil {
		return nil
	}
	return b.fast.Unavailable()
}

// now is the time by the database's clock.
func (b *books) now() time.Time {
	if b.fast == nil {
		return time.Now()
	}
	return b.fast.Now()
}

// flush makes the database know what is settled.
func (b *books) flush(ctx context.Context) error {
	if b.fast == nil {
		return nil
	}
	return b.fast.Flush(ctx)
}

// Events implements billing.Reports.
func (b *books) Events(ctx context.Context, q billing.EventQuery) ([]billing.Spend, error) {
	if err := b.flush(ctx); err != nil {
		return nil, err
	}
	return b.store.Events(ctx, q)
}

// Spend implements billing.Reports.
func (b *books) Spend(ctx context.Context, q billing.SpendQuery) ([]billing.SpendRow, error) {
	if err := b.flush(ctx); err != nil {
		return nil, err
	}
	return b.store.Spend(ctx, q)
}

// closeBooks stores what is settled. What the database does not take any more
// waits in the journal for the next start.
func (s *service) closeBooks() {
	if s.books.fast == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), settleGrace)
	defer cancel()
	if err := s.books.fast.Close(ctx); err != nil {
		s.log.Warn("the next start takes up what is left in the journal", zap.Error(err))
	}
	if err := s.books.log.Close(); err != nil {
		s.log.Error("closing the journal", zap.Error(err))
	}
}

// forgetEvery is how often it is looked for replicas that do not come back.
const forgetEvery = time.Minute

// forgetLost gives back what lost replicas had leased, until ctx ends.
func (s *service) forgetLost(ctx context.Context) error {
	if s.cfg.ReplicaLostAfter == 0 {
		return nil
	}
	for wait(ctx, forgetEvery) {
		if !s.ready.up() {
			continue
		}
		lost, err := s.store.ForgetLost(ctx, time.Duration(s.cfg.ReplicaLostAfter))
		if err != nil {
			s.log.Warn("looking for lost replicas", zap.Error(err))
		}
		for _, id := range lost {
			s.log.Warn("a replica did not come back: what it had leased was given back; its journal may still hold spend", zap.String("replica", id))
		}
	}
	return nil
}
