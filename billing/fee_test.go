package billing

import (
	"reflect"
	"testing"
)

// The larger of our own cost and the stated one is charged, and both can be seen.
func TestChargeOfFeesAndStatedCosts(t *testing.T) {
	p := Price{Input: 1e9, Output: 2e9, Request: 7, Fees: []FeeRate{{"web_search", 100}, {"web_fetch", 0}}}
	used := Tokens{Input: 10, Output: 5} // 10,000 + 10,000
	money := func(m Money) *Money { return &m }
	for name, tt := range map[string]struct {
		used   []Fee
		stated *Money
		total  Money
		fees   []Fee
		known  bool
	}{
		"tokens alone":           {nil, nil, 20_007, nil, true},
		"searches":               {[]Fee{{Meter: "web_search", Units: 3}}, nil, 20_307, []Fee{{"web_search", 3, 300}}, true},
		"what is free":           {[]Fee{{Meter: "web_fetch", Units: 9}}, nil, 20_007, []Fee{{"web_fetch", 9, 0}}, true},
		"none":                   {[]Fee{{Meter: "web_search"}}, nil, 20_007, nil, true},
		"what nobody has listed": {[]Fee{{Meter: "maps", Units: 1}}, nil, 20_007 + 25_000_000, []Fee{{"maps", 1, 25_000_000}}, true},
		"what nobody knows":      {[]Fee{{Meter: "elephants", Units: 1}}, nil, 20_007, []Fee{{"elephants", 1, 0}}, false},
		"unknown, but stated": {
			[]Fee{{Meter: "elephants", Units: 1}},
			money(50_000), 50_000,
			[]Fee{{"elephants", 1, 0}, {MeterProviderCost, 1, 29_993}},
			true,
		},
		"stated as more":    {nil, money(20_010), 20_010, []Fee{{MeterProviderCost, 1, 3}}, true},
		"stated as less":    {nil, money(19_000), 20_007, nil, true},
		"stated as nothing": {nil, money(0), 20_007, nil, true},
		"what was booked before": {
			[]Fee{{"web_search", 3, 999}, {MeterProviderCost, 1, 999}},
			nil, 20_307,
			[]Fee{{"web_search", 3, 300}},
			true,
		},
		"more than there is": {
			[]Fee{{Meter: "web_search", Units: 1 << 62}},
			nil, 20_007 + Money(MostTokens)*100,
			[]Fee{{"web_search", MostTokens, Money(MostTokens) * 100}},
			true,
		},
	} {
		c, fees, known := p.Charge(used, tt.used, tt.stated)
		if c.Total != tt.total || c.sum() != c.Total || known != tt.known || !reflect.DeepEqual(fees, tt.fees) {
			t.Errorf("%s: %+v of %+v, %t", name, c, fees, known)
		}
		row := Spend{Pricing: Priced, Tokens: used, Cost: c, Fees: fees, ProviderCost: tt.stated}
		if ours := row.ours(); tt.known && tt.stated != nil && ours > c.Total || row.CostDiffers() && tt.stated == nil {
			t.Errorf("%s: our own cost is %d of %d", name, ours, c.Total)
		}
	}
}

// What a row used besides tokens is costed again, too.
func TestRepricingKnowsFees(t *testing.T) {
	row := Spend{
		EventID: "e", Kind: KindUsage, Status: StatusOK, Pricing: Unpriced, Tokens: Tokens{Input: 10},
		Fees: []Fee{{"web_search", 2, 0}},
	}
	r := Repricing{Reason: "r", Actor: "a", Price: func(Spend) (Price, bool) {
		return Price{ID: "p", Input: 1e9, Fees: []FeeRate{{"web_search", 50}}}, true
	}}
	var sum Repriced
	fix, changed := r.Reprice(NewCharged(row), &sum)
	if !changed || fix.Cost.Total != 10_100 || fix.Cost.Fee != 100 || fix.Fees != nil || sum.Priced != 1 {
		t.Errorf("%+v, %+v", fix, sum)
	}
	c := NewCharged(row)
	c.Add(fix.Cost, fix.Baseline, fix.CacheSavings)
	if _, changed := r.Reprice(c, &sum); changed {
		t.Error("a second time it is changed again")
	}
	row.Fees[0].Meter = "elephants"
	if _, changed := r.Reprice(NewCharged(row), &sum); changed || sum.Unpriced != 1 {
		t.Errorf("a meter without a price: %+v", sum)
	}
}
