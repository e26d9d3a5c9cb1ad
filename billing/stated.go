package billing

// coarsest is the coarsest unit that providers round what they state to.
const coarsest Money = 10_000

// Meets reports whether m is what a provider stated that something cost, as far as
// that was rounded: each of the meters in it to the unit that the sum ends with, by
// half of that but no more than a hundredth in all, and ours to a nano-dollar.
func (m Money) Meets(stated Money) bool {
	unit := Money(1)
	for unit < coarsest && stated%(unit*10) == 0 {
		unit *= 10
	}
	const meters = 5
	return max(m, stated)-min(m, stated) <= min(meters*unit/2, stated/100)+meters
}

// CostDiffers reports whether the provider stated another cost than our prices come to,
// by more than rounding. The tokens may still be right: it has another price, or
// charges for what is not tokens. What is booked is the larger of the two.
func (s Spend) CostDiffers() bool {
	return s.ProviderCost != nil && s.Pricing != Unpriced && !s.ours().Meets(*s.ProviderCost)
}

// ours is the cost by our own prices.
func (s Spend) ours() Money {
	ours := s.Cost.Total
	for _, f := range s.Fees {
		if f.Meter == MeterProviderCost {
			ours -= f.Cost
		}
	}
	return ours
}
