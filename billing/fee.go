package billing

import (
	"slices"
	"strings"
)

// FeeRate is the price of one unit of a meter that counts no tokens.
type FeeRate struct {
	Meter string `json:"meter"`
	Unit  Money  `json:"unit_nano"`
}

// MeterProviderCost is the meter for the part of the provider's stated cost of an
// attempt that exceeds the cost by our prices.
const MeterProviderCost = "provider_cost"

// fee returns the price of a unit of a meter: the listed price, or else the dearest one
// that any provider lists, so that something we have no price for is not free.
func (p Price) fee(meter string) (Money, bool) {
	for _, f := range p.Fees {
		if f.Meter == meter {
			return f.Unit, true
		}
	}
	return dearestFee(meter)
}

// dearestFee returns the highest known provider price for a unit of a meter.
func dearestFee(meter string) (Money, bool) {
	const mill = NanoPerUSD / 1000
	switch meter {
	case "web_search", "grounding":
		return 35 * mill, true // Google, a grounded prompt of Gemini 2
	case "maps":
		return 25 * mill, true // Google, the same
	case "web_fetch":
		return 10 * mill, true // no provider asks for this much
	case "code_execution", "container":
		return 50 * mill, true // Anthropic, an hour
	case "search_medium", "search_high":
		return 9 * mill, true // Perplexity
	case "file_search", "tool_call":
		return 10 * mill, true // xAI, a search of attached files
	case "image":
		return 250 * mill, true // OpenAI, high quality
	case "citation":
		return 25 * mill, true // xAI, a source of live search
	case "citation_tokens":
		return mill / 100, true // ten dollars per million
	}
	return 0, false
}

// Fee returns the cost of units of a meter. It reports false where that is not known.
func (p Price) Fee(meter string, units int64) (Money, bool) {
	unit, known := p.fee(meter)
	return min(SatMul(unit, Money(min(max(units, 0), MostTokens))), MostMeter), known
}

// dearerFees returns every meter of both lists at the higher price.
func dearerFees(a, b []FeeRate) []FeeRate {
	if len(b) == 0 || len(a) == len(b) && len(a) > 0 && &a[0] == &b[0] {
		return a
	}
	all := append(slices.Clone(a), b...)
	slices.SortStableFunc(all, func(x, y FeeRate) int { return strings.Compare(x.Meter, y.Meter) })
	n := 0
	for _, f := range all {
		if n > 0 && all[n-1].Meter == f.Meter {
			all[n-1].Unit = max(all[n-1].Unit, f.Unit)
			continue
		}
		all[n] = f
		n++
	}
	return all[:n]
}

// Charge returns the cost of an attempt: of t, of its use of other meters (the costs in
// used are ignored), and of the amount that the provider stated, where that is more.
// The fees are what Cost.Fee consists of in addition to the fee per request. It reports
// false where the cost of something used is unknown and no cost was stated.
func (p Price) Charge(t Tokens, used []Fee, stated *Money) (c Cost, fees []Fee, known bool) {
	c, known = p.Cost(t), true
	for _, u := range used {
		if u.Meter == MeterProviderCost || u.Units <= 0 {
			continue
		}
		cost, ok := p.Fee(u.Meter, u.Units)
		known = known && ok
		u.Units, u.Cost = min(u.Units, MostTokens), cost
		fees = append(fees, u)
		c.Fee, c.Total = c.Fee.Add(u.Cost), c.Total.Add(u.Cost)
	}
	if stated != nil && *stated > 0 {
		known = true
		if more := min(*stated, MostMeter) - c.Total; more > 0 {
			fees = append(fees, Fee{Meter: MeterProviderCost, Units: 1, Cost: more})
			c.Fee, c.Total = c.Fee.Add(more), c.Total.Add(more)
		}
	}
	return c, fees, known
}
