package router

import (
	"iter"
	"time"

	"tallyroute/providers"
	"tallyroute/router/health"
	"tallyroute/router/plan"
)

// healthKeys are the names by which the health of a target and of its provider
// are kept. With several credentials each has a health of its own: one that is
// refused, or has used up its rate, says nothing about the others.
func healthKeys(t *providers.Target) (target, provider string) {
	if t.Account == "" {
		return t.Name(), t.Provider
	}
	return t.Name() + "#" + t.Account, t.Provider + "#" + t.Account
}

// state is how a target stands: as well as its best credential does.
func (r *Router) state(t *providers.Target, now time.Time) health.State {
	if len(t.Credentials) == 0 {
		return r.Health.State(t.Name(), t.Provider, now)
	}
	return plan.Best(t.Credentials, r.states(t, now))
}

// states are how a target stands with each of its credentials.
func (r *Router) states(t *providers.Target, now time.Time) []health.State {
	list := make([]health.State, len(t.Credentials))
	for i, c := range t.Credentials {
		with := t.With(c)
		target, provider := healthKeys(&with)
		list[i] = r.Health.State(target, provider, now)
	}
	return list
}

// withCredentials is c with each of the credentials with which it may be called.
func (r *Router) withCredentials(c plan.Candidate) iter.Seq[plan.Candidate] {
	return func(yield func(plan.Candidate) bool) {
		t := c.Target
		if len(t.Credentials) == 0 {
			yield(c)
			return
		}
		for _, credential := range plan.Draw(t.Credentials, r.states(t, r.o.Clock()), r.o.Random) {
			with := t.With(credential)
			c.Target = &with
			if !yield(c) {
				return
			}
		}
	}
}

// ready reports whether t may be called now.
func (r *Router) ready(t *providers.Target) bool {
	target, provider := healthKeys(t)
	return r.Health.Ready(target, provider, r.o.Clock())
}

// begin asks to call t.
func (r *Router) begin(t *providers.Target, now time.Time) bool {
	target, provider := healthKeys(t)
	return r.Health.Begin(target, provider, now)
}

// report tells the health of a target how a call went.
func (r *Router) report(t *providers.Target, o health.Outcome, now time.Time) {
	target, provider := healthKeys(t)
	r.Health.Report(target, provider, o, now)
}

// classes are what faults say about the health of a target.
var classes = map[providers.Fault]health.Class{
	providers.FaultTarget: health.Failed, providers.FaultRate: health.Limited,
	providers.FaultCredential: health.Refused, providers.FaultRequest: health.Neutral, providers.FaultNobody: health.Neutral,
}

// outcome is what a failed call says about its target.
func outcome(pe *providers.Error, began time.Time) health.Outcome {
	return health.Outcome{Class: classes[pe.Kind.Fault()], Cause: string(pe.Kind), RetryAfter: pe.RetryAfter, Began: began}
}
