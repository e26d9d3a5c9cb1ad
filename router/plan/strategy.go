package plan

import (
	"cmp"
	"slices"

	"tallyroute/billing"
)

// Strategy orders candidates for trying. It must see prompts only through their cost, so that
// Make can tell whether shorter prompts would have been ordered differently.
type Strategy func([]Candidate)

// Cheapest orders candidates by what the request would cost: usable ones first, those that can
// serve all of it before those that cannot, priced before unpriced. Ties are broken by name, so
// that the order is the same everywhere. A candidate that was down and may be tried again is
// placed by its price: only one request is let through to test it, and otherwise none ever
// would be.
func Cheapest(list []Candidate) {
	slices.SortStableFunc(list, func(a, b Candidate) int {
		if c := cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.Cost, b.Cost),
			cmp.Compare(b.Target.Weight, a.Target.Weight)); c != 0 {
			return c
		}
		return cmp.Compare(a.Target.Name(), b.Target.Name())
	})
}

func (c *Candidate) rank() int {
	switch {
	case !c.Usable():
		return 4
	case c.Loses != "" && !c.Priced:
		return 3
	case c.Loses != "":
		return 2
	case !c.Priced:
		return 1
	}
	return 0
}

// cost returns the cost of the request with a prompt of this many tokens.
func (c *Candidate) cost(prompt int64) billing.Money {
	return c.Price.Cost(billing.Tokens{Input: prompt, Output: c.Output}).Total.Add(c.fees)
}
