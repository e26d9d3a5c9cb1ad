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
	Try     []plan.Candidate // candidates of the plan that may be tried
	Lowered int64            // the output bound of one choice, if it was lowered to fit a budget; otherwise 0
	Row     billing.Spend    // what the rows of all attempts have in common
	Money   bool             // a budget in money applies to the request
	// Limits returns the part budgets that a call of a target counts against; nil if none apply
	// to the request.
	Limits func(t *providers.Target) []string
}

// output returns how many tokens of output one choice may have at c.
func (m *Meter) output(c *plan.Candidate) int64 {
	if m.Lowered > 0 {
		return min(c.MaxOutput, m.Lowered)
	}
	return c.MaxOutput
}

// MaxOutput returns the output bound to send to c; 0 leaves the client's own.
func (m *Meter) MaxOutput(c *plan.Candidate) int64 {
	most, own := m.output(c), m.Request.MaxOutput()
	switch {
	case most == own:
		return 0
	case own == 0 && c.Target != nil && most == c.Target.MaxOutput:
		return 0 // the model's default; some providers count a bound against tokens per minute
	}
	return most
}

// Most returns the most that the request may use at c.
func (m *Meter) Most(c *plan.Candidate) billing.Tokens {
	return billing.Tokens{Input: c.Hold, Output: billing.SatMul(billing.SatAdd(m.output(c), c.Members.Extra), m.Request.N())}
}

// priceOf returns what c charges for t in a tier. It returns false if that is not known.
func priceOf(c *plan.Candidate, tier string, t billing.Tokens) (billing.Price, bool) {
	if c.Prices == nil {
		return c.Price, c.Priced
	}
	return c.Prices.Charged(tier, t.Prompt())
}

// mostFees returns the most of each metered item that the request may use at c.
func (m *Meter) mostFees(c *plan.Candidate) []billing.Fee {
	if len(c.Uses) == 0 {
		return nil
	}
	fees := make([]billing.Fee, len(c.Uses))
	for i, u := range c.Uses {
		fees[i] = billing.Fee{Meter: u.Meter, Units: u.Bound()}
	}
	return fees
}

// used returns what an attempt used besides tokens. If the provider does not report a meter that
// the request may use, it counts as used once.
func (m *Meter) used(c *plan.Candidate, u *chat.Usage) []billing.Fee {
	fees := metered(u, m.mostFees(c))
	for _, may := range c.Uses {
		if slices.Contains(c.Target.Quirks.Unreported, may.Meter) &&
			!slices.ContainsFunc(fees, func(f billing.Fee) bool { return f.Meter == may.Meter }) {
			fees = append(fees, billing.Fee{Meter: may.Meter, Units: 1})
		}
	}
	return fees
}

// metered returns what an attempt used besides tokens, according to the provider. If the
// provider could not report everything, as for a stream that was cut, it is the most that is
// possible.
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
