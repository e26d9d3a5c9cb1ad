package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// reloadMetrics tell how readings of the configuration went.
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

// Reloaded counts a reading of the configuration; err is why it was rejected.
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
