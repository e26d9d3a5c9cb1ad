package billing

// coarsest is the coarsest unit to which providers round the costs they state.
const coarsest Money = 10_000

// Meets reports whether m agrees with the cost that a provider stated, allowing for
// rounding: each of five meters may be off by half the unit that the stated sum is rounded
// to, though by no more than one percent in all, and by a nano-dollar on our side.
func (m Money) Meets(stated Money) bool {
	unit := Money(1)
	for unit < coarsest && stated%(unit*10) == 0 {
		unit *= 10
	}
	const meters = 5
	return max(m, stated)-min(m, stated) <= min(meters*unit/2, stated/100)+meters
}

// CostDiffers reports whether the provider stated a cost that differs from ours by more
// than rounding. The tokens may still be right: the provider may have a different
// price, or charge for something other than tokens. The larger of the two costs is
// booked.
func (s Spend) CostDiffers() bool {
	return s.ProviderCost != nil && s.Pricing != Unpriced && !s.ours().Meets(*s.ProviderCost)
}

// ours returns the cost by our own prices.
func (s Spend) ours() Money {
	ours := s.Cost.Total
	for _, f := range s.Fees {
		if f.Meter == MeterProviderCost {
			ours -= f.Cost
		}
	}
	return ours
}
