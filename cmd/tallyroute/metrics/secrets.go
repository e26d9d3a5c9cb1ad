package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"tallyroute/providers/secret/manager"
)

// secretStates exports the state of secrets in managers when Prometheus scrapes. Their
// references come from the configuration.
type secretStates struct {
	states           func() []manager.State
	failing, fetched *prometheus.Desc
}

var _ prometheus.Collector = secretStates{}

// WatchSecrets adds the secrets kept in managers.
func (m *Metrics) WatchSecrets(states func() []manager.State) {
	m.registry.MustRegister(secretStates{
		states,
		prometheus.NewDesc("tallyroute_secret_failing",
			"1 while a secret cannot be fetched from its manager and the version that is known stays in use, otherwise 0.",
			[]string{"secret"}, nil),
		prometheus.NewDesc("tallyroute_secret_version_timestamp_seconds",
			"When the version of a secret that is in use was fetched first.", []string{"secret"}, nil),
	})
}

// SecretChanged counts an event in the life of a secret.
func (m *Metrics) SecretChanged(what string) { m.secrets.WithLabelValues(what).Inc() }

// Describe names the metrics.
func (s secretStates) Describe(ch chan<- *prometheus.Desc) {
	ch <- s.failing
	ch <- s.fetched
}

// Collect asks the keeper.
func (s secretStates) Collect(ch chan<- prometheus.Metric) {
	for _, st := range s.states() {
		failing := 0.0
		if st.Err != nil {
			failing = 1
		}
		ch <- prometheus.MustNewConstMetric(s.failing, prometheus.GaugeValue, failing, st.Ref)
		if !st.Fetched.IsZero() {
			ch <- prometheus.MustNewConstMetric(s.fetched, prometheus.GaugeValue, float64(st.Fetched.Unix()), st.Ref)
		}
	}
}
