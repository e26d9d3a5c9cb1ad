package app

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// How often it is looked whether breakdowns are missing, and how often it is told how many
// are still to be made.
const (
	breakdownsEvery = time.Minute
	breakdownsTold  = 30 * time.Second
)

// makeBreakdowns makes the daily sums that reports by end user, tag and the like read in
// place of rows, until ctx ends. It rests for as long as it works.
func (s *Service) makeBreakdowns(ctx context.Context) error {
	for Wait(ctx, breakdownsEvery) {
		if !s.ready.up() {
			continue
		}
		told, telling := time.Now(), false
		for left := 1; left > 0; {
			began := time.Now()
			var err error
			if left, err = s.store.MakeBreakdown(ctx, began); err != nil {
				if ctx.Err() == nil {
					s.Log.Warn("adding up days for reports", zap.Error(err))
				}
				break
			}
			if time.Since(told) > breakdownsTold || telling && left == 0 {
				s.Log.Info("days are added up for quick reports by end user, tag and the like", zap.Int("left", left))
				told, telling = time.Now(), true
			}
			if !Wait(ctx, time.Since(began)) {
				return nil
			}
		}
	}
	return nil
}
