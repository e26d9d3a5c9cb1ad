package router

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/health"
	"tallyroute/router/plan"
	"tallyroute/router/tokens"
)

// callOf returns the key under which the health of a call to t is kept. With several
// credentials, each has its own health: that one is refused or has used up its rate says
// nothing about the others.
func callOf(t *providers.Target, from health.Origin) health.Call {
	c := health.Call{Target: t.Name(), Provider: t.Provider, Origin: from}
	if t.Account != "" {
		c.Target += "#" + t.Account
		c.Provider += "#" + t.Account
	}
	return c
}

// state returns the state of a target: that of its best credential.
func (r *Router) state(t *providers.Target, from health.Origin, now time.Time) health.State {
	if len(t.Credentials) == 0 {
		return r.Health.State(callOf(t, from), now)
	}
	return plan.Best(t.Credentials, r.states(t, from, now))
}

// states returns the state of a target for each of its credentials.
func (r *Router) states(t *providers.Target, from health.Origin, now time.Time) []health.State {
	list := make([]health.State, len(t.Credentials))
	for i, c := range t.Credentials {
		list[i] = r.Health.State(callOf(t.With(c), from), now)
	}
	return list
}

// draw returns the calls that may be made for the i-th of some candidates, in order: one for each
// credential that it may be called with.
func (r *Router) draw(try []plan.Candidate, i int, from health.Origin) []plan.Candidate {
	t := try[i].Target
	if len(t.Credentials) == 0 {
		return try[i : i+1]
	}
	drawn := plan.Draw(t.Credentials, r.states(t, from, r.o.Clock()), r.o.Random)
	calls := make([]plan.Candidate, len(drawn))
	for k, credential := range drawn {
		calls[k] = try[i]
		calls[k].Target = t.With(credential)
	}
	return calls
}

// ready reports whether t may be called now.
func (r *Router) ready(t *providers.Target, from health.Origin) bool {
	return r.Health.Ready(callOf(t, from), r.o.Clock())
}

// classes maps faults to what they say about the health of a target.
var classes = map[providers.Fault]health.Class{
	providers.FaultTarget: health.Failed, providers.FaultRate: health.Limited,
	providers.FaultCredential: health.Refused, providers.FaultRequest: health.Neutral, providers.FaultNobody: health.Neutral,
}

// outcome returns what a failed call says about its target. A request that was never sent, or
// failed for an invalid credential, says nothing about what was asked for.
func outcome(pe *providers.Error, began time.Time) health.Outcome {
	return health.Outcome{
		Class: classes[pe.Kind.Fault()], Certain: !pe.Sent || pe.Status == http.StatusUnauthorized,
		Cause: string(pe.Kind), RetryAfter: pe.RetryAfter, Began: began,
	}
}

// planned is a request with the candidates that may serve it.
type planned struct {
	accepted accepted
	input    plan.Input
	plan     plan.Plan
	try      []plan.Candidate // the candidates that may be tried, in order; the hold covers the first ones
	lowers   bool             // if a hold is refused, another one for less output is tried
}

// plan orders the targets of a route by the price of this request. The cheap bound of the
// prompt is used as long as no decision depends on the exact count.
func (r *Router) plan(ctx context.Context, a accepted, rt route) (planned, error) {
	free, err := r.turn(ctx, a.key.ID, len(a.request.Body()))
	if err != nil {
		return planned{}, err
	}
	defer free()
	p := planned{accepted: a, input: r.input(a, rt)}
	var certain bool
	if p.plan, certain = plan.Make(p.input); !certain {
		return r.exactly(ctx, p)
	}
	if p.try = p.plan.Usable(); len(p.try) == 0 {
		return p, p.refusal()
	}
	return p, nil
}

// input returns everything that the plan of a request on a route depends on.
func (r *Router) input(a accepted, rt route) plan.Input {
	key := a.key
	most := lesser(r.o.MaxOutput, key.Rights.MaxOutput())
	if a.native.Unbounded() {
		most = key.Rights.MaxOutput()
	}
	return plan.Input{
		Operation: a.in.Operation, Request: a.request, Native: a.native, Strategy: plan.Cheapest, DefaultMaxOutput: r.o.DefaultMaxOutput,
		MaxOutput: most, MaxPrompt: key.Rights.MaxPrompt(),
		NeedsPrice: key.NeedsPrice(), Pinned: rt.pinned, Downgraded: rt.downgraded,
		Rights: providers.Rights{
			Budget: key.Bounded(), Models: len(key.Models) > 0 || key.Rights.Chooses(), Stored: key.AllowProviderObjects,
			Allow: r.o.AllowMembers, Strict: r.o.RefuseMembers,
		},
		Offers: r.offers(a.request, rt.targets, a.origin, a.in.Caller.At),
	}
}

// planExactly plans again with counted prompts.
func (r *Router) planExactly(ctx context.Context, p planned) (planned, error) {
	free, err := r.turn(ctx, p.accepted.key.ID, len(p.accepted.request.Body()))
	if err != nil {
		return planned{}, err
	}
	defer free()
	return r.exactly(ctx, p)
}

func (r *Router) exactly(ctx context.Context, p planned) (planned, error) {
	in, err := r.counted(ctx, p.input)
	if err != nil {
		return planned{}, err
	}
	p.input = in
	p.plan, _ = plan.Make(in)
	if p.try = p.plan.Usable(); len(p.try) == 0 {
		return p, p.refusal()
	}
	return p, nil
}

// refusal returns the error for a plan without any candidate that may be tried.
func (p planned) refusal() error {
	err := p.plan.Refusal(p.input)
	if down := (*plan.UnhealthyError)(nil); errors.As(err, &down) {
		return &FailedError{RetryAfter: down.RetryAfter, RateLimited: down.RateLimited}
	}
	if over := (*plan.PromptError)(nil); errors.As(err, &over) {
		return p.accepted.key.Rights.Prompt(over.Tokens)
	}
	return err
}

// lesser returns the lower of two limits, where 0 means no limit.
func lesser(a, b int64) int64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// offers returns the current state of the targets, with bounds of the prompt.
func (r *Router) offers(req *chat.Request, targets []providers.Target, from health.Origin, now time.Time) []plan.Offer {
	list := make([]plan.Offer, len(targets))
	for i := range targets {
		t := &targets[i]
		bound := r.Tokens.Bound(req, tokenizer(t))
		list[i] = plan.Offer{
			Target: t, Prices: r.Prices.At(t.Provider, t.Model, now), Health: r.state(t, from, now),
			Prompt: tokens.Estimate{Tokens: bound}, Hold: r.calibration.Hold(sample(req, t, tokens.Bounded, bound)),
		}
	}
	return list
}

// counted returns the input with the prompts counted.
func (r *Router) counted(ctx context.Context, in plan.Input) (plan.Input, error) {
	in.Counted, in.Offers = true, slices.Clone(in.Offers)
	for i := range in.Offers {
		o := &in.Offers[i]
		var err error
		if o.Prompt, err = r.Tokens.Prompt(ctx, in.Request, tokenizer(o.Target)); err != nil {
			return plan.Input{}, err
		}
		o.Hold = r.calibration.Hold(sample(in.Request, o.Target, plan.Basis(o.Prompt), o.Prompt.Tokens))
	}
	return in, nil
}

func tokenizer(t *providers.Target) tokens.Tokenizer { return tokens.Tokenizer(t.Tokenizer) }

// sample describes an estimate of the prompt for calibration.
func sample(req *chat.Request, t *providers.Target, basis tokens.Basis, n int64) tokens.Sample {
	needs := req.Needs()
	return tokens.Sample{
		Provider: t.Provider, Model: t.Model, Basis: basis, Tokens: n,
		Media: needs.Vision || needs.Audio || needs.Documents, Hosted: req.Hosted(),
	}
}

// Explain plans a request without a key and without sending it.
func (r *Router) Explain(ctx context.Context, req *chat.Request, now time.Time) ([]plan.Candidate, error) {
	targets, pinned, ok := r.Catalogue.Resolve(req.Model())
	if !ok {
		everything := func(string) bool { return true }
		return nil, &ModelError{Asked: req.Model(), Nearest: r.Catalogue.Nearest(req.Model(), everything)}
	}
	in, err := r.counted(ctx, plan.Input{
		Request: req, Strategy: plan.Cheapest, DefaultMaxOutput: r.o.DefaultMaxOutput, MaxOutput: r.o.MaxOutput, Pinned: pinned,
		Offers: r.offers(req, targets, health.Origin{}, now),
	})
	if err != nil {
		return nil, err
	}
	p, _ := plan.Make(in)
	if u := p.Usable(); len(u) > 0 {
		u[0].Chosen = true
	}
	return p.Candidates, nil
}
