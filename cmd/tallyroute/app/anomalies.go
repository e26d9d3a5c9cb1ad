package app

import (
	"context"
	"errors"
	"strings"
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
	usual, file, fault := &manage.Usual{}, &countries.File{}, ""
	for pause := lastTry; Wait(ctx, pause); {
		cfg := s.now().cfg.Anomalies
		pause = max(time.Duration(cfg.Every), lastTry)
		if cfg.Every == 0 || !s.ready.up() {
			continue
		}
		if err := file.Use(cfg.Countries); err == nil {
			fault = ""
		} else if err.Error() != fault {
			fault = err.Error()
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

// tellStops writes down what ran away, until ctx ends, and once more then.
func (s *Service) tellStops(ctx context.Context) error {
	return flushing(ctx, s.writeStops)
}

// writeStops writes down what ran away. Where the database is away that is in the log alone.
func (s *Service) writeStops(ctx context.Context) {
	stops := s.brake.Stops()
	if len(stops) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, settleGrace)
	defer cancel()
	events := make([]billing.Event, len(stops))
	for i, stop := range stops {
		s.Log.Warn("requests ran away", zap.String("key_id", stop.Key), zap.String("session", stop.Session),
			zap.String("cause", stop.Cause))
		events[i] = billing.Event{
			Kind: billing.EventRunaway, Object: stop.Key, Severity: billing.Warning, At: stop.At,
			Text: "Requests are stopped for a time: " + stop.Cause + ".",
			DedupID: strings.Join([]string{
				string(billing.EventRunaway), stop.Key, stop.Session,
				stop.At.UTC().Format(time.RFC3339Nano),
			}, ":"),
			Data: map[string]string{
				"session": stop.Session, "cause": stop.Cause, "until": stop.Until.UTC().Format(time.RFC3339), "router": s.routerName(),
			},
		}
	}
	if err := s.store.WriteEvents(ctx, events...); err != nil {
		s.Log.Warn("writing down what ran away", zap.Error(err))
	}
}
