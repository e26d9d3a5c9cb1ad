package app

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/countries"
)

// watchKeys looks for what is unusual about the use of keys, until ctx ends. Every router
// does; the database says whose turn it is. Where there is so much that it takes long, it
// is done for a hundredth of the time at most.
func (s *Service) watchKeys(ctx context.Context) error {
	usual, file := &manage.Usual{}, &countries.File{}
	for pause := lastTry; Wait(ctx, pause); {
		cfg := s.now().cfg.Anomalies
		pause = max(time.Duration(cfg.Every), lastTry)
		if cfg.Every == 0 || !s.ready.up() {
			continue
		}
		if err := file.Use(cfg.Countries); err != nil {
			s.Log.Warn("the file of countries cannot be read", zap.Error(err))
		}
		began := time.Now()
		found, more, err := s.Actions().WatchKeys(ctx, manage.KeyWatch{
			Every: time.Duration(cfg.Every), Disable: cfg.Disable, Countries: file, Usual: usual,
		})
		if err != nil && ctx.Err() == nil && !errors.Is(err, billing.ErrTurnLost) {
			s.Log.Warn("watching the keys", zap.Error(err))
		}
		for _, f := range found {
			s.Log.Info("anomaly", zap.String("key_id", f.KeyID), zap.String("what", f.What()), zap.String("text", f.Text))
		}
		if pause = max(pause, budgetsShare*time.Since(began)); more {
			pause = lastTry
		}
	}
	return nil
}
