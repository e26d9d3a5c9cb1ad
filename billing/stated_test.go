package billing

import "testing"

// What a provider states is met as far as it rounds, and no further.
func TestStatedCostIsMetUpToRounding(t *testing.T) {
	for _, tt := range []struct {
		ours, stated Money
		want         bool
	}{
		{1_903_750, 1_903_750, true},
		{1_903_752, 1_903_750, true},  // rounded by each meter
		{1_904_000, 1_903_750, false}, // which has all its digits
		{5_008_000, 5_010_000, true},  // seven tokens for a thousandth of a cent
		{5_051_000, 5_010_000, false},
		{650_000, 7_650_000, false}, // a search that was not priced
		{76_000, 70_000, false},
		{0, 0, true},
		{5, 0, true},
		{1_000, 0, false},
		{12_000_000_000, 12_000_000_000, true},
		{12_000_030_000, 12_000_000_000, false},
	} {
		if got := tt.ours.Meets(tt.stated); got != tt.want {
			t.Errorf("$%s for a stated $%s: %t", tt.ours, tt.stated, got)
		}
		row := Spend{Pricing: Priced, Cost: Cost{Total: tt.ours}, ProviderCost: &tt.stated}
		if row.CostDiffers() == tt.want {
			t.Errorf("$%s for a stated $%s: differs is %t", tt.ours, tt.stated, !tt.want)
		}
	}
	stated := Money(5)
	for _, row := range []Spend{{Pricing: Priced, Cost: Cost{Total: 900}}, {Pricing: Unpriced, ProviderCost: &stated}} {
		if row.CostDiffers() {
			t.Errorf("nothing to compare, and yet it differs: %+v", row)
		}
	}
}
