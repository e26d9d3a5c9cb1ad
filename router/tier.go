package router

import (
	"slices"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
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
	return tierOf(jsonraw.Text(asked))
}

// dearest is what a request may cost at most per token. Every prompt token is
// priced as the dearest kind of prompt token and every token of output as the
// dearest of output, since what will be read from or written to a cache, or
// thought, is not known before the call; nor is whether a provider serves the
// tier that it was asked for.
func dearest(p planned, c Candidate) billing.Price {
	most := c.prices.Dearest(tierFor(p.req, c.Target), max(c.Prompt, c.Hold))
	most.Input = max(most.Input, most.CacheRead, most.CacheWrite, most.CacheWrite1h)
	most.Output = max(most.Output, most.Reasoning)
	if p.req.Needs().Audio {
		most.Input, most.Output = max(most.Input, most.AudioInput), max(most.Output, most.AudioOutput)
	}
	return most
}

// priceOf is what c asks for what was used in a tier. Where a provider says it
// served one that has no price, it is the standard one.
func priceOf(c Candidate, tier string, t billing.Tokens) billing.Price {
	if p, ok := c.prices.Served(tier, t.Prompt()); ok {
		return p
	}
	return c.Price
}
