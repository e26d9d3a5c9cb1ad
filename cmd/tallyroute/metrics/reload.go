package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// reloadMetrics export the outcome of reading the configuration.
type reloadMetrics struct {
	reloads    *prometheus.CounterVec
	successful prometheus.Gauge
	at         prometheus.Gauge
}

func newReloadMetrics() reloadMetrics {
	m := reloadMetrics{
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "tallyroute", Name: "config_reloads_total",
			Help: "How often the configuration was read again, by outcome: ok or rejected.",
		}, []string{"outcome"}),
		successful: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "tallyroute", Name: "config_reload_successful",
			Help: "0 while the configuration that was read last was rejected and the one before is in force, otherwise 1.",
		}),
		at: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "tallyroute", Name: "config_reload_success_timestamp_seconds",
			Help: "When the configuration that is in force was read.",
		}),
	}
	m.successful.Set(1)
	m.at.SetToCurrentTime()
	return m
}

// forwarding exports how far the destinations of the audit log are behind.
type forwarding struct{ waiting, lag *prometheus.GaugeVec }

func newForwarding() forwarding {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "tallyroute", Name: name, Help: help}, []string{"destination"})
	}
	return forwarding{
		gauge("audit_forward_waiting", "Records of the audit log that have not arrived at a destination, from whichever router."),
		gauge("audit_forward_lag_seconds", "The age of the oldest of them; 0 if there is none."),
	}
}

// Forwarded records how many records are waiting for a destination, and since when.
func (f forwarding) Forwarded(destination string, waiting int64, oldest, now time.Time) {
	lag := 0.0
	if waiting > 0 && !oldest.IsZero() {
		lag = max(0, now.Sub(oldest).Seconds())
	}
	f.waiting.WithLabelValues(destination).Set(float64(waiting))
	f.lag.WithLabelValues(destination).Set(lag)
}

// Reloaded counts a reading of the configuration; err says why it was rejected, if it was.
func (m reloadMetrics) Reloaded(at time.Time, err error) {
	if err != nil {
		m.reloads.WithLabelValues("rejected").Inc()
		m.successful.Set(0)
		return
	}
	m.reloads.WithLabelValues("ok").Inc()
	m.successful.Set(1)
	m.at.Set(float64(at.Unix()))
}
