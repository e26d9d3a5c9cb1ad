package router

import (
	"context"

	"tallyroute/billing"
	"tallyroute/providers/chat"
)

// used is what is known of an attempt when it is charged.
type used struct {
	candidate Candidate
	usage     *chat.Usage // what the provider reported; nil where it did not
	text      string      // the output that came through
}

// row is the ledger row of one attempt, at nothing. charge fills in the usage.
func (r *Router) row(h held, c Candidate, attempt int) billing.Spend {
	row := billing.Spend{
		OccurredAt: h.in.At, Kind: billing.KindUsage, RequestID: h.in.RequestID, Attempt: attempt,
		Owner: h.key.Owner(), EndUser: h.req.EndUser(), Tags: tags(h),
		RequestedModel: h.req.Model(), Provider: c.Target.Provider, Model: c.Target.Model,
		ServiceTier: tierFor(h.req, c.Target), RouteReason: h.reason(attempt), Streamed: h.req.Stream(),
		Status: billing.StatusOK, UsageSource: billing.Reported, Pricing: billing.Unpriced, Price: c.Price,
	}
	if c.Priced {
		row.Pricing = billing.Priced
	}
	return row
}

// tags are the key's with the caller's over them: a caller may describe a
// request, but who pays for it is the key's alone.
func tags(h held) map[string]string {
	if len(h.key.Tags) == 0 {
		return h.in.Tags
	}
	all := make(map[string]string, len(h.key.Tags)+len(h.in.Tags))
	for k, v := range h.in.Tags {
		all[k] = v
	}
	for k, v := range h.key.Tags {
		all[k] = v
	}
	return all
}

// reason says why the provider of an attempt was chosen.
func (h held) reason(attempt int) billing.RouteReason {
	switch {
	case attempt > 1:
		return billing.RouteFailover
	case h.pinned:
		return billing.RoutePinned
	case len(h.planned.candidates) == 1:
		return billing.RouteOnly
	}
	return billing.RouteCheapest
}

// lost is the row of an attempt whose process dies: all that it may have used.
func (r *Router) lost(h held, c Candidate, attempt int) billing.Spend {
	row := r.row(h, c, attempt)
	row.Final, row.Status, row.UsageSource = true, billing.StatusInterrupted, billing.Bounded
	price(&row, h, c, h.most(c))
	return row
}

// charge fills in what an attempt used and costs.
func (r *Router) charge(ctx context.Context, row *billing.Spend, h held, u used) {
	if u.usage == nil || u.usage.Invalid {
		t, source := r.count(ctx, h, u)
		row.UsageSource = source
		if u.usage != nil {
			row.Status = billing.StatusDisputed
		}
		price(row, h, u.candidate, t)
		return
	}
	t := reported(u.usage)
	if u.usage.ServiceTier != "" {
		row.ServiceTier = tierOf(u.usage.ServiceTier)
	}
	row.UsageSource = billing.Reported
	if !r.plausible(ctx, h, u, t) {
		row.Status = billing.StatusDisputed
		t = atMost(t, h.most(u.candidate))
	} else {
		r.learnt.Observe(h.prompt(u.candidate), t.Prompt())
	}
	price(row, h, u.candidate, t)
}

func reported(u *chat.Usage) billing.Tokens {
	return billing.Tokens{
		Input: u.Input, CacheRead: u.CacheRead, CacheWrite: u.CacheWrite, Output: u.Output, Reasoning: u.Reasoning,
		CacheWrite1h: u.CacheWrite1h, AudioInput: u.AudioInput, AudioOutput: u.AudioOutput,
	}
}

// price stamps the row with the cost of t in the tier of the row, and with what
// t would have cost at the dearest of the candidates that could have served it.
func price(row *billing.Spend, h held, c Candidate, t billing.Tokens) {
	row.Tokens = t
	if !c.Priced {
		return
	}
	row.Price = priceOf(c, row.ServiceTier, t)
	row.Cost = row.Price.Cost(t)
	row.Baseline = row.Cost.Total
	for _, other := range h.planned.candidates {
		if other.Priced && other.why == notExcluded {
			row.Baseline = max(row.Baseline, priceOf(other, row.ServiceTier, t).Cost(t).Total)
		}
	}
}

// count is what passed through us, where the provider did not say: the prompt
// and the text that came. No more than was held is charged.
func (r *Router) count(ctx context.Context, h held, u used) (billing.Tokens, billing.Provenance) {
	tk := tokenizer(u.candidate.Target)
	most := h.most(u.candidate)
	source := billing.Counted
	prompt, err := r.Tokens.Prompt(ctx, h.req, tk)
	if err != nil || !prompt.Exact {
		source = billing.Bounded
	}
	if err != nil {
		prompt.Tokens = most.Input
	}
	output, err := r.Tokens.Text(ctx, u.text, tk)
	if err != nil || !output.Exact {
		source = billing.Bounded
	}
	if err != nil {
		output.Tokens = int64(len(u.text)) // no token is shorter than a byte
	}
	return atMost(billing.Tokens{Input: prompt.Tokens, Output: output.Tokens}, most), source
}

// How far a report may differ from our own count before it is not believed:
// half or double, plus what providers add to a prompt unseen.
const (
	disputeFactor = 2
	disputeSlack  = 1000
)

// plausible reports whether usage can be believed. Most reports pass the cheap
// test against the bound; only the others make us count.
func (r *Router) plausible(ctx context.Context, h held, u used, t billing.Tokens) bool {
	if t.Output == 0 && u.text != "" {
		return false
	}
	tk := tokenizer(u.candidate.Target)
	bound := r.Tokens.Bound(h.req, tk)
	if t.Prompt() > bound/disputeFactor+disputeSlack {
		counted, err := r.Tokens.Prompt(ctx, h.req, tk)
		if err != nil || t.Prompt() > billing.SatMul(counted.Tokens, disputeFactor)+disputeSlack {
			return false
		}
	}
	// Hidden reasoning makes an output longer than its text, but not longer
	// than the bound that was sent.
	if most := h.most(u.candidate).Output; t.Output > most {
		counted, err := r.Tokens.Text(ctx, u.text, tk)
		return err == nil && t.Output <= billing.SatMul(counted.Tokens, disputeFactor)+disputeSlack
	}
	return true
}

// atMost bounds a usage that is not believed: no kind below nothing, the
// prompt and the output no more than was held for them.
func atMost(t, most billing.Tokens) billing.Tokens {
	prompt := most.Input
	clip := func(n int64) int64 {
		n = min(max(n, 0), prompt)
		prompt -= n
		return n
	}
	return billing.Tokens{
		Input: clip(t.Input), CacheRead: clip(t.CacheRead), CacheWrite: clip(t.CacheWrite),
		Output: min(max(t.Output, 0), most.Output), Reasoning: min(max(t.Reasoning, 0), most.Output),
		CacheWrite1h: min(max(t.CacheWrite1h, 0), most.Input), AudioInput: min(max(t.AudioInput, 0), most.Input),
		AudioOutput: min(max(t.AudioOutput, 0), most.Output),
	}
}

// overrun notes on each attempt how far it took the request beyond its hold, in
// tokens and in money. The hold is for the request, so what attempts before
// have used counts too. An attempt without a price costs nothing that is known.
func overrun(rows []billing.Spend, h billing.Hold) {
	var tokens int64
	var money billing.Money
	for i := range rows {
		before, spent := max(0, tokens-h.Tokens), max(0, money-h.Money)
		tokens = billing.SatAdd(tokens, rows[i].Tokens.Total())
		money = money.Add(rows[i].Cost.Total)
		rows[i].OverrunTokens = max(0, tokens-h.Tokens) - before
		rows[i].OverrunMoney = max(0, money-h.Money) - spent
	}
}
