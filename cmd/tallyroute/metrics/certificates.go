package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Certificate is the certificate of a listener.
type Certificate struct {
	Listener string
	Until    time.Time
	Failing  bool // the current files were rejected
}

// certificates exports the state of the listeners' certificates when Prometheus scrapes.
type certificates struct {
	states         func() []Certificate
	until, failing *prometheus.Desc
}

var _ prometheus.Collector = certificates{}

// WatchCertificates adds the listeners' certificates to the metrics.
func (m *Metrics) WatchCertificates(states func() []Certificate) {
	m.registry.MustRegister(certificates{
		states,
		prometheus.NewDesc("tallyroute_tls_certificate_expires_timestamp_seconds",
			"When the certificate that a listener uses expires.", []string{"listener"}, nil),
		prometheus.NewDesc("tallyroute_tls_certificate_failing",
			"1 while the certificate files of a listener are rejected and those before stay in use, otherwise 0.",
			[]string{"listener"}, nil),
	})
}

// Describe names the metrics.
func (c certificates) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.until
	ch <- c.failing
}

// Collect asks the keepers.
func (c certificates) Collect(ch chan<- prometheus.Metric) {
	for _, one := range c.states() {
		failing := 0.0
		if one.Failing {
			failing = 1
		}
		ch <- prometheus.MustNewConstMetric(c.until, prometheus.GaugeValue, float64(one.Until.Unix()), one.Listener)
		ch <- prometheus.MustNewConstMetric(c.failing, prometheus.GaugeValue, failing, one.Listener)
	}
}
