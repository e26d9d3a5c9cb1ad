package main

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tallyroute/billing"
	"tallyroute/router"
	"tallyroute/router/health"
)

// heldLedger tells the metrics what is held.
type heldLedger struct {
	router.Ledger
	count, tokens, money prometheus.Gauge

	mu    sync.Mutex
	holds map[string]heldAmount
}

// heldAmount is what one request holds.
type heldAmount struct {
	tokens int64
	money  billing.Money
}

// ledger is l, with what it holds counted.
func (m *metrics) ledger(l router.Ledger) router.Ledger {
	return &heldLedger{
		Ledger: l, count: m.held.WithLabelValues("holds"), tokens: m.held.WithLabelValues("tokens"),
		money: m.held.WithLabelValues("nano_usd"), holds: make(map[string]heldAmount),
	}
}

// Reserve takes a hold.
func (l *heldLedger) Reserve(ctx context.Context, h billing.Hold, now time.Time) ([]billing.Balance, error) {
	balances, err := l.Ledger.Reserve(ctx, h, now)
	if err == nil {
		held := heldAmount{h.Tokens, h.Money}
		l.mu.Lock()
		l.holds[h.ID] = held
		l.mu.Unlock()
		l.add(held, 1)
	}
	return balances, err
}

// Settle ends a hold.
func (l *heldLedger) Settle(ctx context.Context, s billing.Settlement) ([]billing.Balance, error) {
	balances, err := l.Ledger.Settle(ctx, s)
	if err == nil {
		l.end(s.HoldID)
	}
	return balances, err
}

// Release gives a hold back.
func (l *heldLedger) Release(ctx context.Context, id string) error {
	err := l.Ledger.Release(ctx, id)
	if err == nil {
		l.end(id)
	}
	return err
}

func (l *heldLedger) end(id string) {
	l.mu.Lock()
	h, ok := l.holds[id]
	delete(l.holds, id)
	l.mu.Unlock()
	if ok {
		l.add(h, -1)
	}
}

func (l *heldLedger) add(h heldAmount, sign float64) {
	l.count.Add(sign)
	l.tokens.Add(sign * float64(h.tokens))
	l.money.Add(sign * float64(h.money))
}

// targetHealth tells how every target stands when Prometheus asks.
type targetHealth struct {
	tracker *health.Tracker
	desc    *prometheus.Desc
}

var _ prometheus.Collector = targetHealth{}

// watch adds the health of targets to the metrics.
func (m *metrics) watch(t *health.Tracker) {
	m.registry.MustRegister(targetHealth{t, prometheus.NewDesc("tallyroute_target_open",
		"1 where a target or a whole provider takes no traffic for now, 0.5 where the next call is a trial, 0 where it is healthy.",
		[]string{"target"}, nil)})
}

// Describe names the metric.
func (h targetHealth) Describe(ch chan<- *prometheus.Desc) { ch <- h.desc }

// Collect reads the tracker.
func (h targetHealth) Collect(ch chan<- prometheus.Metric) {
	for _, e := range h.tracker.Snapshot(time.Now()) {
		v := 0.0
		switch e.State.Status {
		case health.Healthy:
		case health.Trial:
			v = 0.5
		case health.Open:
			v = 1
		}
		ch <- prometheus.MustNewConstMetric(h.desc, prometheus.GaugeValue, v, e.Name)
	}
}
