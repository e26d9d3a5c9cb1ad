package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"tallyroute/billing"
)

// MostBudgets is how many budgets are exported: administrators make budgets, and a key may
// have several, so nothing else limits their number.
const MostBudgets = 1000

// Budget is the state of a budget when it was last read, with the name of what it limits.
type Budget struct {
	billing.Balance
	Of string
}

// budgets exports the state of budgets. Prometheus gets what a job has read, however often
// it scrapes.
type budgets struct {
	seen              atomic.Pointer[seenBudgets]
	limit, used, held *prometheus.Desc
	all               *prometheus.Desc
}

type seenBudgets struct {
	all   int
	shown []Budget
}

func newBudgets() *budgets {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("tallyroute_budget_"+name, help, []string{"budget", "scope", "of", "period", "unit"}, nil)
	}
	return &budgets{
		limit: desc("limit", "What a budget allows in its period, in tokens, nano-dollars or requests."),
		used:  desc("used", "What is used of a budget in its current period, in tokens, nano-dollars or requests."),
		held:  desc("held", "What requests under way and routers' leases hold of a budget, in tokens, nano-dollars or requests."),
		all: prometheus.NewDesc("tallyroute_budgets",
			"How many budgets there are. Of the first 1000 the others tell, those of keys last.", nil, nil),
	}
}

// Budgets sets the state of the budgets: those shown, out of the total number.
func (m *Metrics) Budgets(all int, shown []Budget) { m.budgets.seen.Store(&seenBudgets{all, shown}) }

// Describe implements prometheus.Collector.
func (b *budgets) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{b.limit, b.used, b.held, b.all} {
		ch <- d
	}
}

// Collect exports what was read last; nothing before the first time.
func (b *budgets) Collect(ch chan<- prometheus.Metric) {
	seen := b.seen.Load()
	if seen == nil {
		return
	}
	ch <- prometheus.MustNewConstMetric(b.all, prometheus.GaugeValue, float64(seen.all))
	for _, s := range seen.shown {
		tell := func(unit string, limit, used, held int64) {
			for _, v := range []struct {
				desc *prometheus.Desc
				is   int64
			}{{b.limit, limit}, {b.used, used}, {b.held, held}} {
				ch <- prometheus.MustNewConstMetric(v.desc, prometheus.GaugeValue, float64(v.is),
					s.Budget.ID, string(s.Budget.Scope), s.Of, string(s.Budget.Period), unit)
			}
		}
		if limit := s.Budget.Tokens; limit != nil {
			tell("tokens", *limit, s.UsedTokens, s.HeldTokens)
		}
		if limit := s.Budget.Money; limit != nil {
			tell("nano_usd", int64(*limit), int64(s.UsedMoney), int64(s.HeldMoney))
		}
		if limit := s.Budget.Requests; limit != nil {
			tell("requests", *limit, s.UsedRequests, s.HeldRequests)
		}
	}
}
