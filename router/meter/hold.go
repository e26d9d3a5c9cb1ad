package meter

import (
	"math"
	"math/bits"
	"slices"

	"tallyroute/billing"
	"tallyroute/router/plan"
)

// headroom is how many times the bound of a prompt must stay free in addition to the hold for
// the bound to be good enough. A request nearer to its limit is counted exactly before it is
// judged.
const headroom = 20

// Amounts is what a hold takes, and what must stay free in addition.
type Amounts struct {
	Tokens, HeadroomTokens int64
	Money, HeadroomMoney   billing.Money
}

// Hold returns the most that any of the candidates that may be tried can cost. As long as a
// prompt is only bounded, plenty must stay free in addition.
func (m *Meter) Hold() (a Amounts) {
	for i := range m.Try {
		c := &m.Try[i]
		t, price := m.Most(c), m.dearest(c)
		a.Tokens = max(a.Tokens, t.Total())
		cost, _, _ := price.Charge(t, m.mostFees(c), nil)
		a.Money = max(a.Money, cost.Total)
		if !c.Exact && !m.Plan.Counted {
			room := billing.SatMul(c.Prompt, headroom)
			a.HeadroomTokens = max(a.HeadroomTokens, room)
			a.HeadroomMoney = max(a.HeadroomMoney, price.Cost(billing.Tokens{Input: room}).Total)
		}
	}
	return a
}

// Also adds c to the candidates that may be tried. It returns what c may cost beyond what was
// held for the others.
func (m *Meter) Also(c *plan.Candidate) billing.Amount {
	held := m.Hold()
	m.Try = append(slices.Clip(m.Try), *c)
	now := m.Hold()
	return billing.Amount{Tokens: now.Tokens - held.Tokens, Money: now.Money - held.Money}
}

// Fits returns how many tokens of output one choice may have within what is free in every
// budget, whichever candidate serves the request.
func (m *Meter) Fits(balances []billing.Balance) int64 {
	least := int64(math.MaxInt64)
	for i := range m.Try {
		c := &m.Try[i]
		price, most := m.dearest(c), int64(math.MaxInt64)
		cost, _, _ := price.Charge(billing.Tokens{Input: c.Hold}, m.mostFees(c), nil)
		prompt := cost.Total
		for _, b := range balances {
			if free, ok := b.FreeTokens(); ok {
				most = min(most, free-c.Hold)
			}
			if free, ok := b.FreeMoney(); ok && price.Output > 0 {
				most = min(most, affordable(free-prompt, price.Output))
			} else if ok && free < prompt {
				return 0
			}
		}
		if most != math.MaxInt64 { // what is added to every choice is not part of its bound
			least = min(least, max(0, most)/m.Request.N()-c.Members.Extra)
		}
	}
	if least <= 0 || least == math.MaxInt64 {
		return 0
	}
	return least
}

// dearest returns the most that c may cost per token. Every prompt token is priced as the most
// expensive kind of prompt token, and every output token as the most expensive kind of output:
// before the call it is unknown how much will be read from or written to a cache, or spent on
// reasoning, or whether the requested tier will be served.
func (m *Meter) dearest(c *plan.Candidate) billing.Price {
	most := c.Prices.Dearest(c.Tier, max(c.Prompt, c.Hold))
	most.Input = max(most.Input, most.CacheRead, most.CacheWrite, most.CacheWrite1h)
	most.Output = max(most.Output, most.Reasoning)
	if m.Request.Needs().Audio {
		most.Input, most.Output = max(most.Input, most.AudioInput), max(most.Output, most.AudioOutput)
	}
	return most
}

// Least returns the smallest output bound that all candidates that may be tried accept.
func (m *Meter) Least() int64 {
	least := int64(1)
	for i := range m.Try {
		c := &m.Try[i]
		least = max(least, c.Target.LeastOutput())
	}
	return least
}

// affordable returns how many tokens an amount buys at a rate per million, minus one to allow
// for the meter's rounding.
func affordable(amount, rate billing.Money) int64 {
	if amount <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(amount), 1_000_000)
	if hi >= uint64(rate) {
		return math.MaxInt64
	}
	n, _ := bits.Div64(hi, lo, uint64(rate))
	if n > math.MaxInt64 {
		return math.MaxInt64
	}
	return max(0, int64(n)-1)
}
