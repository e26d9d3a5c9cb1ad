package app

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// leaversEvery is how often it is looked for people who have left.
const leaversEvery = 30 * time.Second

// reviewLeavers asks what becomes of the keys of people who have left, until ctx ends.
func (s *Service) reviewLeavers(ctx context.Context) error {
	for Wait(ctx, leaversEvery) {
		if !s.ready.up() {
			continue
		}
		if err := s.Actions().SweepLeavers(ctx, time.Duration(s.now().cfg.LeaversKeep)); err != nil && ctx.Err() == nil {
			s.Log.Warn("looking for the keys of people who have left", zap.Error(err))
		}
	}
	return nil
}
