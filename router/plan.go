package router

import (
	"cmp"
	"context"
	"slices"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/health"
	"tallyroute/router/learn"
	"tallyroute/router/tokens"
)

// Candidate is one target as the plan saw it.
type Candidate struct {
	Target    providers.Target
	Price     billing.Price
	Priced    bool
	Prompt    int64         // tokens, as estimated for its tokenizer
	Exact     bool          // whether Prompt is a count rather than a bound
	Hold      int64         // tokens that a hold counts for the prompt, by what was learnt of its estimates
	MaxOutput int64         // tokens of output that one choice may have
	Output    int64         // tokens of output that Cost assumes
	Cost      billing.Money // of this request, by which candidates are ordered
	Health    string        // "healthy", "trial", or why not
	Excluded  string        // why it cannot be taken; "" where it can
	Chosen    bool

	prices  *billing.PriceSheet // all that may apply
	why     exclusion
	retryIn time.Duration
}

// exclusion is why a candidate cannot be taken, for choosing the error where none can.
type exclusion int

const (
	notExcluded exclusion = iota
	cannotDo
	tooLong
	unpriced
	unhealthy
	weightless
)

// assumedOutput is how many tokens of output one choice is taken to have when
// candidates are compared and the client's own bound is higher. The true
// length is not known before the call; the hold, unlike the comparison, always
// counts the full bound.
const assumedOutput = 500

// planned is a request with its candidates in the order in which they will be
// tried; those that cannot be taken come last and say why.
type planned struct {
	asked
	candidates []Candidate
	pinned     bool
	last       bool // the prompts are as exact as they get
}

// usable are the candidates that may be tried, at most n.
func (p planned) usable(n int) []Candidate {
	i := 0
	for i < len(p.candidates) && i < n && p.candidates[i].why == notExcluded {
		i++
	}
	return p.candidates[:i]
}

// plan orders the targets of a route by the price of this request. The cheap
// bound of the prompt serves as long as no decision hangs on the exact count.
func (r *Router) plan(ctx context.Context, a asked, rt route) (planned, error) {
	in := r.planInput(a, rt, r.bounds(a, rt.targets))
	p := planned{asked: a, pinned: rt.pinned}
	var certain bool
	p.candidates, certain = order(in)
	if !certain {
		return r.planExactly(ctx, p)
	}
	return r.withHolds(p), refusal(p)
}

// withHolds fills in what a hold counts for each prompt.
func (r *Router) withHolds(p planned) planned {
	for i := range p.candidates {
		p.candidates[i].Hold = r.learnt.Hold(p.prompt(p.candidates[i]))
	}
	return p
}

// prompt is the estimate for c, as it is learnt from.
func (p planned) prompt(c Candidate) learn.Prompt {
	needs, basis := p.req.Needs(), learn.Bounded
	switch {
	case c.Exact:
		basis = learn.Exact
	case p.last:
		basis = learn.Counted
	}
	return learn.Prompt{
		Provider: c.Target.Provider, Model: c.Target.Model, Basis: basis, Tokens: c.Prompt,
		Media: needs.Vision || needs.Audio || needs.Documents,
	}
}

// planExactly plans again with counted prompts.
func (r *Router) planExactly(ctx context.Context, p planned) (planned, error) {
	targets := make([]providers.Target, len(p.candidates))
	for i, c := range p.candidates {
		targets[i] = c.Target
	}
	prompts := make([]tokens.Estimate, len(targets))
	for i, t := range targets {
		est, err := r.Tokens.Prompt(ctx, p.req, tokenizer(t))
		if err != nil {
			return planned{}, err
		}
		prompts[i] = est
	}
	in := r.planInput(p.asked, route{targets: targets, pinned: p.pinned}, prompts)
	in.last = true
	p.candidates, _ = order(in)
	p.last = true
	return r.withHolds(p), refusal(p)
}

// Explain plans a request without a key and without sending it.
func (r *Router) Explain(ctx context.Context, req *chat.Request, now time.Time) ([]Candidate, error) {
	targets, pinned, ok := r.Catalogue.Resolve(req.Model())
	if !ok {
		everything := func(string) bool { return true }
		return nil, &ModelError{Asked: req.Model(), Nearest: r.Catalogue.Nearest(req.Model(), everything)}
	}
	a := asked{in: Inbound{Caller: Caller{At: now}}, key: &billing.Key{AllowUnpriced: true}, req: req}
	p := planned{asked: a, pinned: pinned}
	p.candidates, _ = order(r.planInput(a, route{targets: targets, pinned: pinned}, r.bounds(a, targets)))
	p, err := r.planExactly(ctx, p)
	if len(p.candidates) == 0 {
		return nil, err
	}
	if u := p.usable(1); len(u) > 0 {
		u[0].Chosen = true
	}
	return p.candidates, nil
}

// planInput is all that the order depends on.
type planInput struct {
	targets    []providers.Target
	prompts    []tokens.Estimate     // of each target
	health     []health.State        // of each target
	prices     []*billing.PriceSheet // of each target
	tiers      []string              // that each is asked for
	operation  providers.Operation
	needs      chat.Needs
	choices    int64
	clientMax  int64 // the client's own output bound; 0 where it gave none
	defaultMax int64
	needsPrice bool // an unpriced target may not be taken
	last       bool // the prompts are as exact as they get
}

// bounds are cheap upper bounds of the prompt for each target.
func (r *Router) bounds(a asked, targets []providers.Target) []tokens.Estimate {
	list := make([]tokens.Estimate, len(targets))
	for i, t := range targets {
		list[i] = tokens.Estimate{Tokens: r.Tokens.Bound(a.req, tokenizer(t))}
	}
	return list
}

func (r *Router) planInput(a asked, rt route, prompts []tokens.Estimate) planInput {
	n := len(rt.targets)
	in := planInput{
		targets: rt.targets, operation: a.in.Operation, needs: a.req.Needs(), choices: a.req.N(), clientMax: a.req.MaxOutput(),
		defaultMax: r.o.DefaultMaxOutput, needsPrice: hasMoneyBudget(a.key) && !a.key.AllowUnpriced,
		prompts: prompts, health: make([]health.State, n),
		prices: make([]*billing.PriceSheet, n), tiers: make([]string, n),
	}
	for i, t := range rt.targets {
		in.health[i] = r.state(t, a.in.At)
		in.prices[i], in.tiers[i] = r.Prices.At(t.Provider, t.Model, a.in.At), tierFor(a.req, t)
	}
	return in
}

func hasMoneyBudget(k *billing.Key) bool {
	return slices.ContainsFunc(k.Budgets, func(b billing.Budget) bool { return b.Money != nil })
}

func tokenizer(t providers.Target) tokens.Tokenizer { return tokens.Tokenizer(t.Tokenizer) }

// order is the plan itself. It is certain where no decision would fall
// otherwise if the prompts, which may be upper bounds, were shorter.
func order(in planInput) (list []Candidate, certain bool) {
	certain = true
	list = make([]Candidate, len(in.targets))
	for i := range in.targets {
		var sure bool
		list[i], sure = in.candidate(i)
		certain = certain && sure
	}
	if !certain {
		return list, false
	}
	if in.last || len(list) == 1 {
		slices.SortStableFunc(list, before)
		return list, true
	}
	shortest := slices.Clone(list)
	for i := range shortest {
		shortest[i].Cost = in.cost(shortest[i], 0)
	}
	slices.SortStableFunc(list, before)
	slices.SortStableFunc(shortest, before)
	// Costs are linear in the prompt: an order that is the same at both ends is
	// the same everywhere between them.
	return list, slices.EqualFunc(list, shortest, func(a, b Candidate) bool {
		return a.Target.Name() == b.Target.Name()
	})
}

// before orders candidates: usable ones first, priced before unpriced, then by
// cost; the name breaks ties, so that the order is the same everywhere. One that
// was down and may be tried again stands where its price puts it: only one
// request is let through to find out, and nobody else would ever.
func before(a, b Candidate) int {
	if c := cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.Cost, b.Cost), cmp.Compare(b.Target.Weight, a.Target.Weight)); c != 0 {
		return c
	}
	return cmp.Compare(a.Target.Name(), b.Target.Name())
}

func (c Candidate) rank() int {
	switch {
	case c.why != notExcluded:
		return 2
	case !c.Priced:
		return 1
	}
	return 0
}

const (
	healthGood  = "healthy"
	healthTrial = "trial"
)

// candidate judges one target. It is not sure where the prompt is a bound and
// a shorter one would be judged otherwise.
func (in planInput) candidate(i int) (c Candidate, sure bool) {
	t := in.targets[i]
	c = Candidate{Target: t, prices: in.prices[i], Prompt: in.prompts[i].Tokens, Exact: in.prompts[i].Exact}
	c.Price, c.Priced = c.prices.Asked(in.tiers[i], c.Prompt)
	c.Health, c.retryIn = describe(in.health[i])
	c.MaxOutput, sure = in.maxOutput(c)
	if c.Price.MinInput > 0 && !c.Exact && !in.last {
		sure = false // dearer only because the bound is so high, perhaps
	}
	c.Output = min(c.MaxOutput, assumedOutput) * in.choices
	c.Cost = in.cost(c, c.Prompt)
	switch missing := lacks(t, in.operation, in.needs); {
	case len(missing) > 0:
		c.why, c.Excluded = cannotDo, "cannot do "+join(missing)
	case t.Weight == 0:
		c.why, c.Excluded = weightless, "weight is 0"
	case c.MaxOutput <= 0 && in.operation.HasOutput():
		c.why, c.Excluded = tooLong, "the prompt is too long for its context"
	case !c.Priced && in.needsPrice:
		c.why, c.Excluded = unpriced, "no price is known"
	case c.Health != healthGood && c.Health != healthTrial:
		c.why, c.Excluded = unhealthy, c.Health
	}
	return c, sure
}

// maxOutput is how many tokens of output one choice may have: what the client
// allows, no more than the model can, and what the context leaves. Zero or
// less says that the request does not fit. Where answers have no output and each
// input has the context to itself, the provider judges whether they fit.
func (in planInput) maxOutput(c Candidate) (most int64, sure bool) {
	if !in.operation.HasOutput() {
		return 0, true
	}
	most = in.clientMax
	if most == 0 {
		most = in.defaultMax
		if c.Target.MaxOutput > 0 {
			most = c.Target.MaxOutput
		}
	}
	if c.Target.MaxOutput > 0 {
		most = min(most, c.Target.MaxOutput)
	}
	prompt := c.Prompt
	if in.last && !c.Exact {
		prompt /= bytesPerToken // too long to be counted: the provider will judge, we only guess
	}
	left := c.Target.Context - prompt
	if c.Target.Context == 0 || most <= left {
		return most, true
	}
	if in.clientMax > 0 && c.Exact {
		return 0, true // asked for more than fits
	}
	return left, c.Exact || in.last
}

func (in planInput) cost(c Candidate, prompt int64) billing.Money {
	return c.Price.Cost(billing.Tokens{Input: prompt, Output: c.Output}).Total
}

func describe(s health.State) (string, time.Duration) {
	switch s.Status {
	case health.Healthy:
		return healthGood, 0
	case health.Trial:
		return healthTrial, 0
	case health.Open:
	}
	return s.Cause, s.RetryAfter
}

func lacks(t providers.Target, o providers.Operation, needs chat.Needs) []string {
	can := t.Can
	var missing []string
	for _, n := range []struct {
		name      string
		need, can bool
	}{
		{o.String(), true, t.Serves(o)},
		{"streaming", needs.Stream, can.Stream},
		{"tools", needs.Tools, can.Tools},
		{"vision", needs.Vision, can.Vision},
		{"audio", needs.Audio, can.Audio},
		{"documents", needs.Documents, can.Documents},
		{"json_schema", needs.JSONSchema, can.JSONSchema},
	} {
		if n.need && !n.can {
			missing = append(missing, n.name)
		}
	}
	return missing
}

func join(words []string) string {
	out := ""
	for i, w := range words {
		if i > 0 {
			out += ", "
		}
		out += w
	}
	return out
}

// refusal is the error of a plan that has no usable candidate: the reason that
// stands nearest to being mended by waiting, else by another request.
func refusal(p planned) error {
	if len(p.usable(1)) > 0 {
		return nil
	}
	var longest Candidate
	unable := &AbilityError{Model: p.req.Model(), Asked: p.in.Operation}
	worst, retry, limited := notExcluded, time.Duration(0), true
	for _, c := range p.candidates {
		worst = max(worst, c.why)
		switch c.why {
		case unhealthy:
			if retry == 0 || c.retryIn < retry {
				retry = c.retryIn
			}
			limited = limited && c.Health == string(providers.KindRate)
		case tooLong:
			if c.Target.Context >= longest.Target.Context {
				longest = c
			}
		case cannotDo:
			if unable.Needs == nil {
				unable.Needs, unable.Serves = lacks(c.Target, p.in.Operation, p.req.Needs()), c.Target.Can.Operation
			}
		case notExcluded, unpriced, weightless:
		}
	}
	switch worst {
	case cannotDo:
		return unable
	case tooLong:
		return &ContextError{Model: p.req.Model(), Prompt: longest.Prompt, Output: p.req.MaxOutput(), Context: longest.Target.Context}
	case unpriced:
		return &UnpricedError{Model: p.req.Model()}
	case notExcluded, unhealthy, weightless:
	}
	return &FailedError{RetryAfter: retry, RateLimited: limited && worst == unhealthy}
}
