package app

import (
	"context"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing"
)

// How often the jobs run.
const (
	sweepEvery = 30 * time.Second
	touchEvery = 10 * time.Second
)

// sweep settles the holds of processes that died, and removes answers and events that
// were kept for long enough, until ctx ends.
func (s *Service) sweep(ctx context.Context) error {
	for Wait(ctx, sweepEvery) {
		if !s.ready.up() {
			continue
		}
		n, err := s.store.Sweep(ctx, time.Now())
		if err != nil {
			s.Log.Warn("sweep", zap.Error(err))
		}
		if n > 0 {
			s.metrics.Swept(n)
			s.Log.Warn("holds swept whose process never reported back", zap.Int("holds", n))
		}
		ended, err := s.store.EndQuietSecrets(ctx, time.Now())
		if err != nil {
			s.Log.Warn("ending secrets that are not used any more", zap.Error(err))
		}
		for _, id := range ended {
			s.Log.Info("the old secret of a key was not used for long enough and has ended", zap.String("key_id", string(id)))
		}
		if _, err := s.store.ExpireReplays(ctx, time.Now()); err != nil {
			s.Log.Warn("removing old answers", zap.Error(err))
		}
		if keep := time.Duration(s.now().cfg.EventsKeep); keep > 0 {
			if _, err := s.store.PruneEvents(ctx, time.Now().Add(-keep)); err != nil {
				s.Log.Warn("removing old events", zap.Error(err))
			}
		}
	}
	return nil
}

// flushTouched stores when keys were last used, until ctx ends, and once more then.
func (s *Service) flushTouched(ctx context.Context) error {
	for Wait(ctx, touchEvery) {
		s.touch(ctx)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleGrace)
	defer cancel()
	s.touch(last)
	return nil
}

func (s *Service) touch(ctx context.Context) {
	used := s.verifier.Touched(time.Now())
	if err := s.store.TouchKeys(ctx, used); err != nil {
		s.Log.Warn("storing when keys were last used", zap.Error(err))
	}
	if err := s.store.NoteSecretUse(ctx, s.inUse.Uses()); err != nil {
		s.Log.Warn("storing how the secrets of keys were used", zap.Error(err))
	}
}

// warm loads the vocabulary, so that no request waits for it.
func (s *Service) warm(ctx context.Context) error {
	if err := s.Tokens.Warm(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// Bounds of the jobs that keep the books.
const (
	upkeepEvery = time.Hour
	// integrityLook is how often it is looked whether an integrity check is due. The
	// first is, so that a router that is restarted again and again is checked too.
	integrityLook = time.Minute
)

// upkeep prepares the database for the months to come, until ctx ends.
func (s *Service) upkeep(ctx context.Context) error {
	for Wait(ctx, upkeepEvery) {
		if err := s.store.Upkeep(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("preparing the coming months", zap.Error(err))
		}
	}
	return nil
}

// checkIntegrity checks the ledger at intervals until ctx ends. Of several routers
// on one database, one does it and all report the result.
func (s *Service) checkIntegrity(ctx context.Context) error {
	var last time.Time
	for Wait(ctx, integrityLook) {
		every := time.Duration(s.now().cfg.IntegrityEvery)
		if every == 0 || time.Since(last) < every || !s.ready.up() {
			continue
		}
		now := time.Now()
		last = now
		r, err := s.store.CheckIntegrity(ctx, billing.IntegrityOptions{Now: now, Since: now.Add(-every + every/10)})
		switch {
		case err != nil && ctx.Err() == nil:
			s.Log.Warn("integrity check", zap.Error(err))
		case err == nil && r.Breaches > 0:
			s.Log.Error("the ledger breaks its laws: run tallyroute integrity", zap.Int64("breaches", r.Breaches), zap.String("first", r.First))
		}
		if err == nil {
			s.metrics.Checked(r)
		}
	}
	return nil
}

// Wait sleeps for d and reports whether ctx is still alive then.
func Wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return ctx.Err() == nil
	}
}
