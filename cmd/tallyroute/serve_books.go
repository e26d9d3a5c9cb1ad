package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"tallyroute/billing"
)

// Bounds of the jobs that keep the books.
const (
	upkeepEvery = time.Hour
	// integrityFirst is how long after the start the first integrity check is, so that
	// a router that is restarted again and again is checked too.
	integrityFirst = time.Minute
)

// upkeep prepares the database for the months to come, until ctx ends.
func (s *service) upkeep(ctx context.Context) error {
	for wait(ctx, upkeepEvery) {
		if err := s.store.Upkeep(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("preparing the coming months", zap.Error(err))
		}
	}
	return nil
}

// checkIntegrity checks the ledger at intervals until ctx ends. Of several routers
// on one database, one does it and all report the result.
func (s *service) checkIntegrity(ctx context.Context) error {
	every := time.Duration(s.cfg.IntegrityEvery)
	if every == 0 {
		return nil
	}
	for pause := min(integrityFirst, every); wait(ctx, pause); pause = every {
		if !s.ready.up() {
			continue
		}
		now := time.Now()
		r, err := s.store.CheckIntegrity(ctx, billing.IntegrityOptions{Now: now, Since: now.Add(-every + every/10)})
		switch {
		case err != nil && ctx.Err() == nil:
			s.log.Warn("integrity check", zap.Error(err))
		case err == nil && r.Breaches > 0:
			s.log.Error("the ledger breaks its laws: run tallyroute integrity", zap.Int64("breaches", r.Breaches), zap.String("first", r.First))
		}
		if err == nil {
			s.metrics.checked(r)
		}
	}
	return nil
}

// integrityGauges tell what the last integrity check found.
type integrityGauges struct{ breaches, ran, took prometheus.Gauge }

func newIntegrityGauges() integrityGauges {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "tallyroute", Name: name, Help: help})
	}
	return integrityGauges{
		breaches: gauge("integrity_breaches", "How many things in the ledger broke its laws at the last integrity check; it must be 0."),
		ran: gauge("integrity_last_run_timestamp_seconds",
			"When the last integrity check of the ledger began, by whichever router; 0 before the first."),
		took: gauge("integrity_last_duration_seconds", "How long the last integrity check took."),
	}
}

func (g integrityGauges) checked(r billing.IntegrityReport) {
	if r.RanAt.IsZero() {
		return
	}
	g.breaches.Set(float64(r.Breaches))
	g.ran.Set(float64(r.RanAt.Unix()))
	g.took.Set(r.Took.Seconds())
}
