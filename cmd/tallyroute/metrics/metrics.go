// Package metrics exports the router's metrics to Prometheus.
package metrics

import (
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tallyroute/billing"
	"tallyroute/router"
)

// Metrics holds all the metrics. Every label takes its values from the configuration or
// from a fixed list, so that no client can create new series: an unknown model becomes
// "unknown".
type Metrics struct {
	registry *prometheus.Registry

	requests  *prometheus.CounterVec
	refusals  *prometheus.CounterVec
	attempts  *prometheus.CounterVec
	tokens    *prometheus.CounterVec
	cost      *prometheus.CounterVec
	unpriced  *prometheus.CounterVec
	doubts    doubtMetrics
	settling  *prometheus.CounterVec
	replays   *prometheus.CounterVec
	overhead  prometheus.Histogram
	duration  *prometheus.HistogramVec
	firstByte *prometheus.HistogramVec
	swept     prometheus.Counter
	keyLag    prometheus.Histogram
	secrets   *prometheus.CounterVec
	http      *prometheus.HistogramVec
	flying    prometheus.Gauge
	budgets   *budgets
	integrityGauges
	reloadMetrics
	forwarding
}

var _ router.Observer = (*Metrics)(nil)

func New(version string) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "tallyroute", Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "tallyroute", Name: name, Help: help,
			Buckets: buckets,
		}, labels)
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: counter("requests_total", "Requests that have ended, by the model asked for and how the last attempt ended.", "model",
			"status", "streamed"),
		refusals: counter("refusals_total", "Requests that were answered with an error of our own, by cause.", "cause"),
		attempts: counter("attempts_total", "Attempts booked; kind is empty for those that did not fail.", "provider", "model", "kind"),
		tokens:   counter("tokens_total", "Tokens booked, by kind.", "provider", "model", "kind"),
		cost:     counter("cost_nano_usd_total", "Cost booked, in billionths of a dollar.", "provider", "model"),
		unpriced: counter("unpriced_requests_total", "Attempts that used tokens and have no known price.", "provider", "model"),
		doubts: doubtMetrics{
			overruns: counter("overrun_requests_total", "Attempts that took their request beyond what was held for it.",
				"provider", "model"),
			tokens: counter("overrun_tokens_total", "Tokens booked beyond what was held.", "provider", "model"),
			cost:   counter("overrun_nano_usd_total", "Cost beyond what was held, in billionths of a dollar.", "provider", "model"),
			disputed: counter("disputed_attempts_total", "Attempts whose reported usage cannot be right or cannot be explained.",
				"provider", "model"),
			differs: counter("cost_differs_attempts_total", "Attempts for which the provider states another cost than is booked.",
				"provider", "model"),
		},
		secrets: counter("secret_changes_total",
			"What happened to secrets that managers keep: fetched, rotated, used, failed or recovered.", "what"),
		settling: counter("settlements_deferred_total",
			"Settlements that the database did not take at once: delayed or lost to the sweep.", "event"),
		replays: counter("idempotent_replays_total", "Requests that got the answer that was kept, and answers that could not be kept.",
			"outcome"),
		overhead: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "tallyroute", Name: "overhead_seconds", Buckets: overheadBuckets(),
			Help: "The router's own time for a request: all but waiting for a provider or the client.",
		}),
		duration: histogram("request_duration_seconds", "From the first byte of a request to the last of its answer.", slowBuckets(),
			"model", "streamed"),
		firstByte: histogram("first_byte_seconds", "From the first byte of a request to the first content of its answer.", slowBuckets(),
			"model", "streamed"),
		http: histogram("http_request_duration_seconds", "Requests to the public listener, by route.", slowBuckets(), "method",
			"route", "status"),
		flying: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "tallyroute", Name: "requests_in_flight",
			Help: "Requests to the public listener that are under way.",
		}),
		swept: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "tallyroute", Name: "holds_swept_total",
			Help: "Holds of processes that never reported back.",
		}),
		keyLag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "tallyroute", Name: "revocation_lag_seconds",
			Help:    "From the end of a key's use in the database until this router refuses the key.",
			Buckets: []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5},
		}),
	}
	m.budgets = newBudgets()
	m.integrityGauges, m.reloadMetrics, m.forwarding = newIntegrityGauges(), newReloadMetrics(), newForwarding()
	m.registry.MustRegister(m.budgets, m.breaches, m.ran, m.took, m.reloads, m.successful, m.at, m.waiting, m.lag)
	m.registry.MustRegister(m.requests, m.refusals, m.attempts, m.tokens, m.cost, m.unpriced, m.doubts.overruns, m.doubts.tokens,
		m.doubts.cost,
		m.doubts.disputed, m.doubts.differs,
		m.settling, m.replays, m.overhead, m.duration, m.firstByte, m.swept, m.keyLag, m.secrets, m.http, m.flying,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo(version))
	return m
}

// overheadBuckets range from 50 µs, which an uncontended request takes, to the seconds that
// a struggling database takes.
func overheadBuckets() []float64 {
	return []float64{50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 1, 2.5}
}

func slowBuckets() []float64 {
	return []float64{0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600}
}

func buildInfo(version string) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "tallyroute", Name: "build_info", Help: "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()},
	})
	g.Set(1)
	return g
}

// ObserveHTTP counts a request to the public listener.
func (m *Metrics) ObserveHTTP(method, route string, status int, took time.Duration) {
	m.http.WithLabelValues(method, route, strconv.Itoa(status)).Observe(took.Seconds())
}

// InFlight counts the requests in flight in h.
func (m *Metrics) InFlight(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.flying.Inc()
		defer m.flying.Dec()
		h.ServeHTTP(w, r)
	})
}

// Handler returns the handler of GET /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Swept counts holds of processes that never reported back.
func (m *Metrics) Swept(holds int) { m.swept.Add(float64(holds)) }

// KeyLag records how long a change to a key took to become known here.
func (m *Metrics) KeyLag(d time.Duration) { m.keyLag.Observe(max(d, 0).Seconds()) }

// Observe counts one record.
func (m *Metrics) Observe(r router.Record) {
	switch r.Event {
	case router.EventRequest:
	case router.EventBooked:
		m.Booked(r.Rows)
		return
	default:
		m.happened(r.Event)
		return
	}
	model, streamed := r.RequestedModel, strconv.FormatBool(r.Streamed)
	if model == "" {
		model = "unknown"
	}
	m.requests.WithLabelValues(model, string(r.Status), streamed).Inc()
	m.overhead.Observe(r.Overhead.Seconds())
	m.duration.WithLabelValues(model, streamed).Observe(r.Total.Seconds())
	if r.Refusal != "" {
		m.refusals.WithLabelValues(r.Refusal).Inc()
		return
	}
	if r.FirstByte > 0 {
		m.firstByte.WithLabelValues(model, streamed).Observe(r.FirstByte.Seconds())
	}
}

// happened counts events other than the request itself.
func (m *Metrics) happened(e router.Event) {
	switch e {
	case router.EventRepeated:
		m.replays.WithLabelValues("replayed").Inc()
	case router.EventClaimLost:
		m.replays.WithLabelValues("lost").Inc()
	case router.EventRequest, router.EventBooked, router.EventSettleDelayed, router.EventSettleLost:
		m.settling.WithLabelValues(string(e)).Inc()
	}
}

// Booked counts rows: those of completed requests, and of processes that died before they
// could book them.
func (m *Metrics) Booked(rows []billing.Spend) {
	for _, row := range rows {
		m.book(row)
	}
}

// book counts what an attempt used and cost.
func (m *Metrics) book(row billing.Spend) {
	m.attempts.WithLabelValues(row.Provider, row.Model, row.ErrorKind).Inc()
	for _, t := range [...]struct {
		kind string
		n    int64
	}{
		{"input", row.Tokens.Input},
		{"cache_read", row.Tokens.CacheRead},
		{"cache_write", row.Tokens.CacheWrite},
		{"output", row.Tokens.Output},
		{"reasoning", row.Tokens.Reasoning},
	} {
		if t.n > 0 {
			m.tokens.WithLabelValues(row.Provider, row.Model, t.kind).Add(float64(t.n))
		}
	}
	if row.Pricing == billing.Unpriced && row.Tokens.Total() > 0 {
		m.unpriced.WithLabelValues(row.Provider, row.Model).Inc()
	}
	if row.Cost.Total > 0 {
		m.cost.WithLabelValues(row.Provider, row.Model).Add(float64(row.Cost.Total))
	}
	m.doubts.count(row)
}

// doubtMetrics count attempts that took a request beyond its hold, and cases in which a
// provider's figures disagree with what was booked.
type doubtMetrics struct{ overruns, tokens, cost, disputed, differs *prometheus.CounterVec }

func (m doubtMetrics) count(row billing.Spend) {
	if row.OverrunTokens > 0 || row.OverrunMoney > 0 {
		m.overruns.WithLabelValues(row.Provider, row.Model).Inc()
		m.tokens.WithLabelValues(row.Provider, row.Model).Add(float64(row.OverrunTokens))
		m.cost.WithLabelValues(row.Provider, row.Model).Add(float64(row.OverrunMoney))
	}
	if row.Disputed {
		m.disputed.WithLabelValues(row.Provider, row.Model).Inc()
	}
	if row.CostDiffers() {
		m.differs.WithLabelValues(row.Provider, row.Model).Inc()
	}
}
