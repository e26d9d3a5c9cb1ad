package router

import (
	"fmt"
	"testing"

	"tallyroute/billing"
	"tallyroute/providers"
)

// BenchmarkComplete measures a plain answer from one provider and from the cheapest of ten,
// with in-memory parts: what the router itself costs.
func BenchmarkComplete(b *testing.B) {
	for _, n := range []int{1, 10} {
		b.Run(fmt.Sprintf("%d", n), func(b *testing.B) {
			var targets []providers.Target
			for i := range n {
				targets = append(targets, target(fmt.Sprintf("p%d", i), fmt.Sprintf("%d", 1+i), fmt.Sprintf("%d", 4+i)))
			}
			g := newRig(b, keyWith(tokenBudget(1e15), moneyBudget("1000000000")), targets...)
			b.ReportAllocs()
			for b.Loop() {
				a, err := g.ask(b.Context(), hi)
				if err != nil {
					b.Fatal(err)
				}
				_ = a.Close()
				g.ledger.rows, g.sender.seen, g.records.list = nil, nil, nil
			}
		})
	}
}

// BenchmarkLimits measures a plain answer for keys with no limit, one limit, ten limits, and ten
// limits of which five apply to a part.
func BenchmarkLimits(b *testing.B) {
	periods := []billing.Period{
		billing.PeriodMinute, billing.PeriodDay, billing.PeriodWeek, billing.PeriodMonth, billing.PeriodYear,
	}
	for _, c := range []struct{ all, parts int }{{0, 0}, {1, 0}, {10, 0}, {5, 5}} {
		b.Run(fmt.Sprintf("%d+%d", c.all, c.parts), func(b *testing.B) {
			many, money := int64(1e14), billing.Money(1e17)
			var budgets []billing.Budget
			for n := range c.all + c.parts {
				budget := billing.Budget{
					ID: fmt.Sprintf("bud_01M85YW43V4KDMNZ6CMSFCF3K%d", n), Scope: billing.ScopeKey, ScopeID: "key_1",
					Period: periods[n%len(periods)], Tokens: &many, Money: &money, Requests: &many, Zone: "Europe/Berlin",
				}
				if n >= c.all {
					budget.Part = []billing.Part{billing.PartModel, billing.PartCredential}[n%2]
				}
				budgets = append(budgets, budget)
			}
			g := newRig(b, keyWith(budgets...), target("p", "1", "4"))
			b.ReportAllocs()
			for b.Loop() {
				a, err := g.ask(b.Context(), hi)
				if err != nil {
					b.Fatal(err)
				}
				_ = a.Close()
				g.ledger.rows, g.sender.seen, g.records.list = nil, nil, nil
			}
		})
	}
}
