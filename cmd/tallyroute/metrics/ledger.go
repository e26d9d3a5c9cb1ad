package metrics

import "github.com/prometheus/client_golang/prometheus"

// Ledger knows what is on its way from requests to the database.
type Ledger interface {
	Backlog() (settlements, open int)
	Rejected() int64
	Restored() int64
}

// Journal is the log in which it is written down.
type Journal interface {
	Size() int64
	Err() error
}

// AccessRecorder collects the access record.
type AccessRecorder interface {
	Waiting() int
	Dropped() int64
}

// WatchAccess adds the number of access entries waiting to be written, and of those
// dropped.
func (m *Metrics) WatchAccess(r AccessRecorder) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tallyroute_access_waiting", Help: "Entries of the record of access that are not yet in the database.",
	}, func() float64 { return float64(r.Waiting()) }))
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "tallyroute_access_dropped_total", Help: "Entries of the record of access that were dropped: there was no room for them.",
	}, func() float64 { return float64(r.Dropped()) }))
}

// WatchLedger adds what is on its way from requests to the database.
func (m *Metrics) WatchLedger(l Ledger, j Journal) {
	gauge := func(name, help string, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("tallyroute_ledger_backlog", "Settlements that are in the journal and not yet in the database.", func() float64 {
		settlements, _ := l.Backlog()
		return float64(settlements)
	})
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "tallyroute_ledger_rejected_total",
		Help: "Rows that the database refused for what is in them. They wait in spend_rejects and count against the budgets.",
	}, func() float64 { return float64(l.Rejected()) }))
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "tallyroute_ledger_restored_total",
		Help: "Rows that the database had confirmed and lost, and that were posted again from the journal.",
	}, func() float64 { return float64(l.Restored()) }))
	gauge("tallyroute_ledger_open", "Requests that hold an allowance.", func() float64 {
		_, open := l.Backlog()
		return float64(open)
	})
	gauge("tallyroute_journal_bytes", "Size of the journal on disk.", func() float64 { return float64(j.Size()) })
	gauge("tallyroute_journal_failed", "1 while the journal cannot be written, and requests are refused.", func() float64 {
		if j.Err() != nil {
			return 1
		}
		return 0
	})
}
