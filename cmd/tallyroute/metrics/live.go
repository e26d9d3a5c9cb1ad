package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tallyroute/router"
	"tallyroute/router/health"
	"tallyroute/router/limit"
)

// liveHolds exports what is currently held when Prometheus scrapes.
type liveHolds struct {
	router *router.Router
	bytes  *limit.Bytes
	desc   *prometheus.Desc
}

var _ prometheus.Collector = liveHolds{}

// WatchHolds adds the current holds to the metrics.
func (m *Metrics) WatchHolds(r *router.Router, b *limit.Bytes) {
	m.registry.MustRegister(liveHolds{r, b, prometheus.NewDesc("tallyroute_held",
		"What this process holds for requests under way: how many holds, tokens and nano-dollars, and bytes of memory.",
		[]string{"unit"}, nil)})
}

// Describe names the metric.
func (h liveHolds) Describe(ch chan<- *prometheus.Desc) { ch <- h.desc }

// Collect asks the router.
func (h liveHolds) Collect(ch chan<- prometheus.Metric) {
	now := h.router.Held()
	ch <- prometheus.MustNewConstMetric(h.desc, prometheus.GaugeValue, float64(now.Holds), "holds")
	ch <- prometheus.MustNewConstMetric(h.desc, prometheus.GaugeValue, float64(now.Tokens), "tokens")
	ch <- prometheus.MustNewConstMetric(h.desc, prometheus.GaugeValue, float64(now.Money), "nano_usd")
	ch <- prometheus.MustNewConstMetric(h.desc, prometheus.GaugeValue, float64(h.bytes.Used()), "bytes")
}

// targetHealth exports the state of every target when Prometheus scrapes.
type targetHealth struct {
	tracker *health.Tracker
	desc    *prometheus.Desc
}

var _ prometheus.Collector = targetHealth{}

// WatchHealth adds the health of targets to the metrics.
func (m *Metrics) WatchHealth(t *health.Tracker) {
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
