package meter

import (
	"slices"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/plan"
)

// Meter measures one request.
type Meter struct {
	Request *chat.Request
	Plan    plan.Plan
	Try     []plan.Candidate // those of the plan that may be tried
	Lowered int64            // the output bound of one choice, where it was lowered to fit a budget; else 0
	Row     billing.Spend    // what the rows of all attempts have in common
	Money   bool             // a budget in money binds the request
	// Limits are the limits of parts that a call of a target counts with; nil where none bind
	// the request.
	Limits func(t *providers.Target) []string
}

// output is how many tokens of output one choice may have at c.
func (m *Meter) output(c plan.Candidate) int64 {
	if m.Lowered > 0 {
		return min(c.MaxOutput, m.Lowered)
	}
	return c.MaxOutput
}

// MaxOutput is the output bound to send to c; 0 leaves the client's own.
func (m *Meter) MaxOutput(c plan.Candidate) int64 {
	most, own := m.output(c), m.Request.MaxOutput()
	switch {
	case most == own:
		return 0
	case own == 0 && c.Target != nil && most == c.Target.MaxOutput:
		return 0 // what the model does by itself; some providers count a bound against tokens per minute
	}
	return most
}

// Most is the most that the request may use at c.
func (m *Meter) Most(c plan.Candidate) billing.Tokens {
	return billing.Tokens{Input: c.Hold, Output: billing.SatMul(billing.SatAdd(m.output(c), c.Members.Extra), m.Request.N())}
}

// priceOf is what c asks for t in a tier. It reports false where that is not known.
func priceOf(c plan.Candidate, tier string, t billing.Tokens) (billing.Price, bool) {
	if c.Prices == nil {
		return c.Price, c.Priced
	}
	return c.Prices.Charged(tier, t.Prompt())
}

// charged is what c asks for t in a tier, as it is charged. A budget in money is charged
// for a tier that no price is known of, too: by the dearest that is. guessed says so.
func (m *Meter) charged(c plan.Candidate, tier string, t billing.Tokens) (price billing.Price, guessed, ok bool) {
	price, ok = priceOf(c, tier, t)
	if ok || !m.Money {
		return price, false, ok
	}
	price, ok = c.Prices.DearestTier(t)
	return price, ok, ok
}

// mostFees is the most of each meter that the request may use at c.
func (m *Meter) mostFees(c plan.Candidate) []billing.Fee {
	if len(c.Uses) == 0 {
		return nil
	}
	fees := make([]billing.Fee, len(c.Uses))
	for i, u := range c.Uses {
		fees[i] = billing.Fee{Meter: u.Meter, Units: u.Bound()}
	}
	return fees
}

// metered is what an attempt used besides tokens: what the provider says. Where it did
// not come to say all, as of a stream that was cut, it is the most that may be.
func metered(u *chat.Usage, most []billing.Fee) []billing.Fee {
	var fees []billing.Fee
	if u == nil || u.Partial {
		fees = most
	}
	if u == nil {
		return fees
	}
	for _, used := range u.Metered {
		i := slices.IndexFunc(fees, func(f billing.Fee) bool { return f.Meter == used.Meter })
		if i < 0 {
			fees = append(fees, billing.Fee{Meter: used.Meter, Units: used.N})
			continue
		}
		fees[i].Units = max(fees[i].Units, used.N)
	}
	return fees
}
