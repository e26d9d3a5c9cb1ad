package router

import (
	"slices"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
)

// tierOf is the tier by which prices are kept for what a client or a provider
// calls a service tier. Other names, such as "auto", "default" and "on_demand",
// are the standard one.
func tierOf(name string) string {
	switch name {
	case billing.TierBatch, billing.TierFlex, billing.TierPriority:
		return name
	}
	return billing.TierStandard
}

// tierFor is the tier that a request asks of t, which may not have any.
func tierFor(req *chat.Request, t providers.Target) string {
	asked := req.Get("service_tier")
	known := len(t.Quirks.Known) == 0 || slices.Contains(t.Quirks.Known, "service_tier")
	if asked == nil || !known || slices.Contains(t.Quirks.Drop, "service_tier") {
		return billing.TierStandard
	}
	return tierOf(chat.Text(asked))
}

// priceAt is the price in force. Where no price is known for a tier that is
// cheaper than the standard one, that is the upper bound; a dearer tier without
// a price is unpriced.
func (r *Router) priceAt(q billing.PriceQuery) (billing.Price, bool) {
	p, ok := r.Prices.AtFor(q)
	if !ok && (q.Tier == billing.TierBatch || q.Tier == billing.TierFlex) {
		q.Tier = billing.TierStandard
		p, ok = r.Prices.AtFor(q)
	}
	return p, ok
}

// dearest is what a request may cost at most per token. Every prompt token is
// priced as the dearest kind of prompt token and every token of output as the
// dearest of output, since what will be read from or written to a cache, or
// thought, is not known before the call; nor is whether a provider serves the
// tier that it was asked for.
func (r *Router) dearest(p planned, c Candidate) billing.Price {
	q := billing.PriceQuery{Provider: c.Target.Provider, Model: c.Target.Model, Tier: tierFor(p.req, c.Target), Prompt: max(c.Prompt, c.Hold), At: p.in.At}
	most, _ := r.Prices.Dearest(q)
	if q.Tier != billing.TierStandard {
		q.Tier = billing.TierStandard
		if standard, ok := r.Prices.Dearest(q); ok {
			most = most.Max(standard)
		}
	}
	most.Input = max(most.Input, most.CacheRead, most.CacheWrite, most.CacheWrite1h)
	most.Output = max(most.Output, most.Reasoning)
	if p.req.Needs().Audio {
		most.Input, most.Output = max(most.Input, most.AudioInput), max(most.Output, most.AudioOutput)
	}
	return most
}

// priceOf is what c asks for what was used in a tier. Where a provider says it
// served one that has no price, it is the standard one.
func (r *Router) priceOf(h held, c Candidate, tier string, t billing.Tokens) billing.Price {
	q := billing.PriceQuery{Provider: c.Target.Provider, Model: c.Target.Model, Tier: tier, Prompt: t.Prompt(), At: h.in.At}
	if p, ok := r.priceAt(q); ok {
		return p
	}
	q.Tier = billing.TierStandard
	if p, ok := r.Prices.AtFor(q); ok {
		return p
	}
	return c.Price
}
