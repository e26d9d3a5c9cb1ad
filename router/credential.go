package router

import (
	"iter"
	"net/http"
	"time"

	"tallyroute/providers"
	"tallyroute/router/health"
	"tallyroute/router/plan"
)

// callOf is a call to t as its health is kept. With several credentials each has a
// health of its own: one that is refused, or has used up its rate, says nothing about
// the others.
func callOf(t *providers.Target, from health.Origin) health.Call {
	c := health.Call{Target: t.Name(), Provider: t.Provider, Origin: from}
	if t.Account != "" {
		c.Target += "#" + t.Account
		c.Provider += "#" + t.Account
	}
	return c
}

// state is how a target stands: as well as its best credential does.
func (r *Router) state(t *providers.Target, from health.Origin, now time.Time) health.State {
	if len(t.Credentials) == 0 {
		return r.Health.State(callOf(t, from), now)
	}
	return plan.Best(t.Credentials, r.states(t, from, now))
}

// states are how a target stands with each of its credentials.
func (r *Router) states(t *providers.Target, from health.Origin, now time.Time) []health.State {
	list := make([]health.State, len(t.Credentials))
	for i, c := range t.Credentials {
		with := t.With(c)
		list[i] = r.Health.State(callOf(&with, from), now)
	}
	return list
}

// withCredentials is c with each of the credentials with which it may be called.
func (r *Router) withCredentials(c plan.Candidate, from health.Origin) iter.Seq[plan.Candidate] {
	return func(yield func(plan.Candidate) bool) {
		t := c.Target
		if len(t.Credentials) == 0 {
			yield(c)
			return
		}
		for _, credential := range plan.Draw(t.Credentials, r.states(t, from, r.o.Clock()), r.o.Random) {
			with := t.With(credential)
			c.Target = &with
			if !yield(c) {
				return
			}
		}
	}
}

// ready reports whether t may be called now.
func (r *Router) ready(t *providers.Target, from health.Origin) bool {
	return r.Health.Ready(callOf(t, from), r.o.Clock())
}

// classes are what faults say about the health of a target.
var classes = map[providers.Fault]health.Class{
	providers.FaultTarget: health.Failed, providers.FaultRate: health.Limited,
	providers.FaultCredential: health.Refused, providers.FaultRequest: health.Neutral, providers.FaultNobody: health.Neutral,
}

// outcome is what a failed call says about its target. What was never sent, and a
// invalid credential, has nothing to do with what was asked.
func outcome(pe *providers.Error, began time.Time) health.Outcome {
	return health.Outcome{
		Class: classes[pe.Kind.Fault()], Certain: !pe.Sent || pe.Status == http.StatusUnauthorized,
		Cause: string(pe.Kind), RetryAfter: pe.RetryAfter, Began: began,
	}
}
