package plan

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/health"
	"tallyroute/router/tokens"
)

// Input is everything that a plan depends on.
type Input struct {
	Operation        providers.Operation
	Request          *chat.Request
	Native           *providers.Native // the request as its client wrote it; nil for a chat completion
	Offers           []Offer
	Strategy         Strategy
	DefaultMaxOutput int64 // tokens of output, if neither client nor model has a bound
	MaxOutput        int64 // tokens of output, if the client has no bound; 0 is the model's own
	MaxPrompt        int64 // tokens of the prompt allowed by the key's policies; 0 is no limit
	NeedsPrice       bool  // an unpriced target may not be used
	Rights           providers.Rights
	Pinned           bool // the client named the provider
	Downgraded       bool // a cheaper model than the client named is to answer
	Counted          bool // the prompts are as exact as they get
}

// Offer is the current state of one target.
type Offer struct {
	Target *providers.Target
	Prices *billing.PriceSheet
	Health health.State
	Prompt tokens.Estimate
	Hold   int64 // tokens to hold for the prompt
}

// Plan is the candidates of a request in the order in which they are tried; those that cannot
// be used come last and say why.
type Plan struct {
	Candidates []Candidate
	Pinned     bool // the client named the provider
	Downgraded bool // a cheaper model than the client named answers
	Counted    bool // the prompts are as exact as they get
}

// assumedOutput is how many tokens of output are assumed for one choice when candidates are
// compared and the client's own bound is higher. The true length is not known before the call;
// the hold, unlike the comparison, always counts the full bound.
const assumedOutput = 500

// Make returns the plan. It is certain if no decision would change if the prompts, which may be
// upper bounds, were shorter.
func Make(in Input) (p Plan, certain bool) {
	p = Plan{Candidates: make([]Candidate, len(in.Offers)), Pinned: in.Pinned, Downgraded: in.Downgraded, Counted: in.Counted}
	certain = true
	needed := providers.Needed(in.Request)
	for i := range in.Offers {
		var sure bool
		p.Candidates[i], sure = in.candidate(&in.Offers[i])
		p.Candidates[i].Loses = in.Offers[i].Target.Loses(needed)
		certain = certain && sure
	}
	if !certain {
		return p, false
	}
	if in.Counted || len(p.Candidates) == 1 {
		in.Strategy(p.Candidates)
		return p, true
	}
	shortest := slices.Clone(p.Candidates)
	for i := range shortest {
		shortest[i].Cost = shortest[i].cost(0)
	}
	in.Strategy(p.Candidates)
	in.Strategy(shortest)
	// Costs are linear in the prompt: an order that is the same at both ends is the same
	// everywhere in between.
	return p, slices.EqualFunc(p.Candidates, shortest, func(a, b Candidate) bool { return a.Target == b.Target })
}

// candidate judges one target. It is not sure if the prompt is a bound and a shorter one would
// be judged differently.
func (in Input) candidate(o *Offer) (c Candidate, sure bool) {
	c = Candidate{Target: o.Target, Prices: o.Prices, Prompt: o.Prompt.Tokens, Exact: o.Prompt.Exact, Likely: o.Prompt.Likely, Hold: o.Hold}
	c.Tier = tierFor(in.Request, c.Target)
	in.members(&c)
	c.Costly = c.Members.Costly(in.Rights, c.Target)
	c.Price, c.Priced = c.Prices.Charged(c.Tier, c.Prompt)
	for _, u := range c.Uses { // if a meter is unpriced, so is the candidate
		fee, known := c.Price.Fee(u.Meter, u.Bound())
		c.fees, c.Priced = c.fees.Add(fee), c.Priced && known
	}
	c.Health, c.retryIn = describe(o.Health)
	c.MaxOutput, sure = in.maxOutput(&c)
	if c.Price.MinInput > 0 && !c.Exact && !in.Counted {
		sure = false // perhaps dearer only because the bound is so high
	}
	over := in.MaxPrompt > 0 && c.Prompt > in.MaxPrompt
	if over && !c.Exact && !in.Counted {
		sure = false
	}
	c.Output = min(c.MaxOutput, assumedOutput) * in.Request.N()
	c.Cost = c.cost(c.Prompt)
	switch missing := lacks(c.Target, in.Operation, in.Request.Needs()); {
	case len(missing) > 0:
		c.Why, c.Excluded = CannotDo, "cannot do "+strings.Join(missing, ", ")
	case c.Target.Weight == 0:
		c.Why, c.Excluded = Weightless, "weight is 0"
	case in.tight(c.Target):
		c.Why, c.Excluded = TooTight, "takes no bound of the output below "+strconv.FormatInt(c.Target.LeastOutput(), 10)
	case in.Operation.HasOutput() && c.MaxOutput < in.least(c.Target):
		c.Why, c.Excluded = TooLong, "the prompt is too long for its context"
	case over:
		c.Why, c.Excluded = OverPrompt, "the prompt is longer than the key's policies allow"
	case !c.Priced && in.NeedsPrice:
		c.Why, c.Excluded = Unpriced, "no price is known"
	case c.bar != nil:
		c.Why, c.Excluded = Barred, c.bar.String()
	case o.Health.Status == health.Open:
		c.Why, c.Excluded = Unhealthy, c.Health
	}
	return c, sure
}

// members judges the members of the request. A request that must not be sent as it is, because of
// members without a place in a chat completion, is sent as a chat completion.
func (in Input) members(c *Candidate) {
	if in.Native.For(c.Target) {
		c.Native, c.Members = true, c.Target.JudgeNative(in.Request, in.Native)
		c.Hold += in.Native.Unseen
		if c.bar = c.Members.Bar(in.Rights, c.Target); c.bar == nil || in.Native.Only != nil {
			c.Uses = c.Members.Uses
			return
		}
		c.Native, c.Hold = false, c.Hold-in.Native.Unseen
	}
	c.Members = c.Target.Judge(in.Request)
	c.Uses, c.bar = c.Members.Uses, c.Members.Bar(in.Rights, c.Target)
}

// maxOutput returns how many tokens of output one choice may have: what is asked for, and what
// the context leaves. Zero or less says that the request does not fit. If answers have no
// output and each input has the context to itself, the provider judges whether they fit.
func (in Input) maxOutput(c *Candidate) (most int64, sure bool) {
	if !in.Operation.HasOutput() {
		return 0, true
	}
	most = in.wanted(c.Target)
	left := c.Target.Context - c.Prompt
	switch {
	case c.Target.Context == 0 || most <= left:
		return most, true
	case c.Exact && in.Request.MaxOutput() > 0:
		return 0, true // asked for more than fits
	case c.Exact || !in.Counted:
		return left, c.Exact
	}
	// The prompt is shorter than its bound. Whether the rest is enough is for the provider to
	// judge, unless it is clear; a client's own bound is left alone as long as it may be right.
	left = c.Target.Context - c.Likely
	if expected := c.Target.Context - min(c.Hold, c.Likely+c.Likely/4); in.Request.MaxOutput() == 0 && expected > 0 {
		left = expected
	}
	return min(most, left), true
}

// wanted returns the maximum tokens of output for one choice: what the client allows, or else
// we do, and no more than the model can produce.
func (in Input) wanted(t *providers.Target) int64 {
	most := cmp.Or(in.Request.MaxOutput(), in.MaxOutput, t.MaxOutput, in.DefaultMaxOutput)
	if t.MaxOutput > 0 {
		most = min(most, t.MaxOutput)
	}
	return most
}

// least returns the smallest output bound that may be sent to t. A bound that the client sets
// is the client's own responsibility.
func (in Input) least(t *providers.Target) int64 {
	if in.Request.MaxOutput() > 0 {
		return 1
	}
	return max(1, t.LeastOutput())
}

// tight reports whether the bound that is ours to choose is below what t accepts.
func (in Input) tight(t *providers.Target) bool {
	if in.Native.Unbounded() && in.MaxOutput > 0 && (t.MaxOutput == 0 || in.MaxOutput < t.MaxOutput) {
		return true
	}
	return in.Operation.HasOutput() && in.wanted(t) < in.least(t)
}

// Usable returns the candidates that may be tried.
func (p Plan) Usable() []Candidate {
	i := 0
	for i < len(p.Candidates) && p.Candidates[i].Usable() {
		i++
	}
	return p.Candidates[:i]
}

// Reason returns why the provider of an attempt was chosen.
func (p Plan) Reason(attempt int) billing.RouteReason {
	switch {
	case p.Downgraded:
		return billing.RouteDowngraded
	case attempt > 1:
		return billing.RouteFailover
	case p.Pinned:
		return billing.RoutePinned
	case len(p.Candidates) == 1:
		return billing.RouteOnly
	}
	return billing.RouteCheapest
}

// Basis returns what the estimate of a counted prompt rests on.
func Basis(counted tokens.Estimate) tokens.Basis {
	if counted.Exact {
		return tokens.Exact
	}
	return tokens.Counted
}

// Basis returns what the estimate for c rests on.
func (p Plan) Basis(c *Candidate) tokens.Basis {
	if !c.Exact && !p.Counted {
		return tokens.Bounded
	}
	return Basis(tokens.Estimate{Exact: c.Exact})
}
