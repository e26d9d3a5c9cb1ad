package main

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// How often the jobs run.
const (
	sweepEvery = 30 * time.Second
	touchEvery = 10 * time.Second
)

// sweep settles the holds of processes that died, and removes answers that were
// kept for long enough, until ctx ends.
func (s *service) sweep(ctx context.Context) error {
	for wait(ctx, sweepEvery) {
		if !s.ready.up() {
			continue
		}
		n, err := s.store.Sweep(ctx, time.Now())
		if err != nil {
			s.log.Warn("sweep", zap.Error(err))
		}
		if n > 0 {
			s.metrics.swept.Add(float64(n))
			s.log.Warn("holds swept whose process never reported back", zap.Int("holds", n))
		}
		if _, err := s.store.ExpireReplays(ctx, time.Now()); err != nil {
			s.log.Warn("removing old answers", zap.Error(err))
		}
	}
	return nil
}

// flushTouched stores when keys were last used, until ctx ends, and once more then.
func (s *service) flushTouched(ctx context.Context) error {
	for wait(ctx, touchEvery) {
		s.touch(ctx)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleGrace)
	defer cancel()
	s.touch(last)
	return nil
}

func (s *service) touch(ctx context.Context) {
	used := s.verifier.Touched(time.Now())
	if len(used) == 0 {
		return
	}
	if err := s.store.TouchKeys(ctx, used); err != nil {
		s.log.Warn("storing when keys were last used", zap.Error(err))
	}
}

// warm loads the vocabulary, so that no request waits for it.
func (s *service) warm(ctx context.Context) error {
	if err := s.tokens.Warm(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
