package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"tallyroute/billing"
)

// MostBudgets is how many budgets are told of: administrators make budgets, and a key
// may have some, so that there is no other bound.
const MostBudgets = 1000

// Budget is how a budget stood when it was last looked at, and what it limits by name.
type Budget struct {
	billing.Balance
	Of string
}

// budgets tells how budgets stood. Prometheus reads what a job has read, however often
// it asks.
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
		limit: desc("limit", "What a budget allows in its period, in tokens or nano-dollars."),
		used:  desc("used", "What is used of a budget in its current period, in tokens or nano-dollars."),
		held:  desc("held", "What requests under way and routers' leases hold of a budget, in tokens or nano-dollars."),
		all: prometheus.NewDesc("tallyroute_budgets",
			"How many budgets there are. Of the first 1000 the others tell, those of keys last.", nil, nil),
	}
}

// Budgets tells of the budgets as they stood: those that are shown of all that there are.
func (m *Metrics) Budgets(all int, shown []Budget) { m.budgets.seen.Store(&seenBudgets{all, shown}) }

// Describe names the metrics.
func (b *budgets) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{b.limit, b.used, b.held, b.all} {
		ch <- d
	}
}

// Collect tells what was last seen; nothing before that.
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
	}
}
