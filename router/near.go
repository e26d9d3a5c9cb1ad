package router

import (
	"slices"
	"sync"
	"time"

	"tallyroute/billing"
)

// near remembers which budgets have come so near their limit that the cheapest model is to
// answer, as far as this router has heard of it.
type near struct {
	mu      sync.Mutex
	windows map[string]billing.Window // by the id of the budget
}

// mostNear bounds what is remembered; beyond it, it is heard again with the next hold.
const mostNear = 10_000

// note hears how budgets stand.
func (n *near) note(balances []billing.Balance) {
	for i := range balances {
		b := &balances[i]
		if b.Budget.Action != billing.ActionDowngrade {
			continue
		}
		reached := b.Downgrades()
		n.mu.Lock()
		switch {
		case !reached:
			delete(n.windows, b.Budget.ID)
		case n.windows == nil || len(n.windows) >= mostNear:
			n.windows = make(map[string]billing.Window)
			fallthrough
		default:
			n.windows[b.Budget.ID] = b.Window
		}
		n.mu.Unlock()
	}
}

// reached reports that a budget of the key has the cheapest model answer now.
func (n *near) reached(key *billing.Key, at time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(key.Budgets, func(b billing.Budget) bool {
		w, known := n.windows[b.ID]
		return known && b.Action == billing.ActionDowngrade && w.Contains(at)
	})
}
