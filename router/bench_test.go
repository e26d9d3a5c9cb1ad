package router

import (
	"fmt"
	"testing"

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
