package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"tallyroute/billing"
)

// integrityGauges export the result of the last integrity check.
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

// Checked records the result of an integrity check.
func (g integrityGauges) Checked(r billing.IntegrityReport) {
	if r.RanAt.IsZero() {
		return
	}
	g.breaches.Set(float64(r.Breaches))
	g.ran.Set(float64(r.RanAt.Unix()))
	g.took.Set(r.Took.Seconds())
}
