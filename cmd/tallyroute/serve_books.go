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
	// auditFirst is how long after the start the first audit is, so that a router
	// that is restarted again and again is audited too.
	auditFirst = time.Minute
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

// audit proves the ledger again and again, until ctx ends. Of several routers
// on one database, one does it and all tell the result.
func (s *service) audit(ctx context.Context) error {
	every := time.Duration(s.cfg.AuditEvery)
	if every == 0 {
		return nil
	}
	for pause := min(auditFirst, every); wait(ctx, pause); pause = every {
		if !s.ready.up() {
			continue
		}
		now := time.Now()
		r, err := s.store.Audit(ctx, billing.AuditOptions{Now: now, Since: now.Add(-every + every/10)})
		switch {
		case err != nil && ctx.Err() == nil:
			s.log.Warn("audit", zap.Error(err))
		case err == nil && r.Breaches > 0:
			s.log.Error("the ledger breaks its laws: run tallyroute audit", zap.Int64("breaches", r.Breaches), zap.String("first", r.First))
		}
		if err == nil {
			s.metrics.audited(r)
		}
	}
	return nil
}

// auditGauges tell what the last audit found.
type auditGauges struct{ breaches, ran, took prometheus.Gauge }

func newAuditGauges() auditGauges {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "tallyroute", Name: name, Help: help})
	}
	return auditGauges{
		breaches: gauge("audit_breaches", "How many things in the ledger broke its laws at the last audit; 0 is as it must be."),
		ran: gauge("audit_last_run_timestamp_seconds",
			"When the last audit of the ledger began, by whichever router; 0 before the first."),
		took: gauge("audit_last_duration_seconds", "How long the last audit took."),
	}
}

func (g auditGauges) audited(r billing.AuditReport) {
	if r.RanAt.IsZero() {
		return
	}
	g.breaches.Set(float64(r.Breaches))
	g.ran.Set(float64(r.RanAt.Unix()))
	g.took.Set(r.Took.Seconds())
}
