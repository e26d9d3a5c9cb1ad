package meter

import (
	"cmp"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/plan"
)

// Used returns the row of a charged attempt. observed says that its prompt is what the provider
// reported, so that there is something to learn from it.
func (m *Meter) Used(u Use, count Counter) (row billing.Spend, observed bool) {
	row = m.row(u.Candidate, u.Attempt)
	row.Final, row.Status, row.ErrorKind, row.ProviderRequestID = true, u.Status, u.ErrorKind, u.ResponseID
	if u.TierDropped {
		row.ServiceTier = billing.TierStandard
	}
	if u.Usage != nil && u.Usage.ServiceTier != "" {
		row.ServiceTier = billing.TierOf(u.Usage.ServiceTier)
	}
	b := m.weigh(u, row.ServiceTier, count)
	row.Tokens, row.UsageSource, row.Disputed = b.tokens, b.source, b.disputed
	if u.Usage != nil {
		m.compare(&row, u.Usage)
	}
	used := m.used(u.Candidate, u.Usage)
	m.price(&row, answeredBy(&row, u, used), used)
	return row, b.observed
}

// answeredBy returns the candidate at the prices of the model that answered, if those are
// higher. The row names another model if its prices differ from those of the requested one or
// are not known.
func answeredBy(row *billing.Spend, u Use, used []billing.Fee) *plan.Candidate {
	c := u.Candidate
	if u.Answered.Model == "" {
		return c
	}
	other := *c
	other.Prices, other.Priced = u.Answered.Prices, false
	price, priced := priceOf(c, row.ServiceTier, row.Tokens)
	if u.Answered.Prices != nil {
		var dearer billing.Price
		dearer, other.Priced = priceOf(&other, row.ServiceTier, row.Tokens)
		if other.Priced && priced && dearer.Same(price) {
			return c
		}
	}
	if !other.Priced {
		if priced && !price.Free() {
			row.AnsweredModel = u.Answered.Model
		}
		return c
	}
	row.AnsweredModel = u.Answered.Model
	if charge(&other, row, used) >= charge(c, row, used) {
		return &other
	}
	return c
}

// charge returns what a row costs by our prices for c.
func charge(c *plan.Candidate, row *billing.Spend, used []billing.Fee) billing.Money {
	price, _ := priceOf(c, row.ServiceTier, row.Tokens)
	cost, _, _ := price.Charge(row.Tokens, used, nil)
	return cost.Total
}

// compare records what the provider reported, if that differs from what is booked, and what the
// provider says the attempt cost.
func (m *Meter) compare(row *billing.Spend, u *chat.Usage) {
	said := reported(u)
	if u.Figures != nil {
		said = reported(u.Figures)
	}
	said.Input = billing.SatAdd(said.Input, u.Lump)
	if row.Disputed || said != row.Tokens && (u.Lump == 0 || row.Tokens.Total() != u.Lump) {
		row.Reported = &said
	}
	if u.Cost.Stated {
		cost := billing.Money(u.Cost.Nano)
		row.ProviderCost = &cost
	}
}

// Failed returns the row of an attempt that another may follow: it costs nothing.
func (m *Meter) Failed(c *plan.Candidate, attempt int, kind providers.Kind) billing.Spend {
	row := m.row(c, attempt)
	row.Status, row.ErrorKind = billing.StatusError, string(kind)
	return row
}

// Lost returns the row of an attempt whose process dies: everything that it may have used.
func (m *Meter) Lost(c *plan.Candidate, attempt int) billing.Spend {
	row := m.row(c, attempt)
	row.Final, row.Status, row.UsageSource = true, billing.StatusInterrupted, billing.Bounded
	row.Tokens = m.Most(c)
	m.price(&row, c, m.mostFees(c))
	return row
}

// row returns the row of an attempt at c, at no cost.
func (m *Meter) row(c *plan.Candidate, attempt int) billing.Spend {
	row := m.Row
	row.Attempt, row.Provider, row.Model, row.ServiceTier = attempt, c.Target.Provider, c.Target.Model, c.Tier
	row.Region, row.Credential, row.Endpoint = c.Target.Region, c.Target.Account, c.Target.BaseURL
	row.RouteReason, row.UsageSource = m.Plan.Reason(attempt), billing.Reported
	row.Price, row.Pricing = c.Price, billing.Unpriced
	if c.Priced {
		row.Pricing = billing.Priced
	}
	row.UnpricedMembers = c.Members.Named()
	if m.Limits != nil {
		row.Limits = m.Limits(c.Target)
	}
	return row
}

// price records what an attempt costs that used fees in addition to its tokens, at which price,
// and what it would have cost at the most expensive of the candidates that could have served
// it. If the provider stated a higher cost, that is charged. If the price of something that was
// used, or may have been, is not known, and the provider did not state the total, the row has no
// price.
func (m *Meter) price(row *billing.Spend, c *plan.Candidate, used []billing.Fee) {
	price, priced := priceOf(c, row.ServiceTier, row.Tokens)
	if !priced && m.Money { // this tier has no price: with a budget in money, charge that of the dearest
		price, priced = c.Prices.DearestTier(row.Tokens)
		if priced && !row.Disputed {
			told := row.Tokens
			row.Disputed, row.Reported = true, cmp.Or(row.Reported, &told)
		}
	}
	cost, fees, known := price.Charge(row.Tokens, used, row.ProviderCost)
	stated := row.ProviderCost != nil && *row.ProviderCost > 0
	row.Price, row.Fees = price, fees
	if !known || (!priced || c.Costly) && !stated {
		row.Pricing, row.Cost, row.Baseline = billing.Unpriced, billing.Cost{}, 0
		return
	}
	row.Pricing, row.Cost, row.Baseline = billing.Priced, cost, cost.Total
	for i := range m.Plan.Candidates {
		other := &m.Plan.Candidates[i]
		if other.Priced && other.Usable() {
			price, _ := priceOf(other, row.ServiceTier, row.Tokens)
			cost, _, _ := price.Charge(row.Tokens, used, nil)
			row.Baseline = max(row.Baseline, cost.Total)
		}
	}
}

// Overrun records on each attempt how far it took the request beyond its hold, in tokens and in
// money. The hold is for the request, so what earlier attempts used counts, too. An attempt
// without a price has no known cost.
func Overrun(rows []billing.Spend, held *billing.Hold) {
	var tokens int64
	var money billing.Money
	for i := range rows {
		before, spent := max(0, tokens-held.Tokens), max(0, money-held.Money)
		tokens = billing.SatAdd(tokens, rows[i].Tokens.Total())
		money = money.Add(rows[i].Cost.Total)
		rows[i].OverrunTokens = max(0, tokens-held.Tokens) - before
		rows[i].OverrunMoney = max(0, money-held.Money) - spent
	}
}
