package router

import (
	"context"
	"errors"
	"slices"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/router/plan"
)

// hears takes in what came of a hold, and reports that a cheaper model is to be tried:
// a budget has reached its threshold, or has no room for the model that was asked for.
func (n *near) hears(h held, err error) bool {
	var quota *billing.QuotaError
	switch {
	case err == nil:
		n.note(h.balances)
		return n.reached(h.planned.accepted.key, h.planned.accepted.in.Caller.At)
	case errors.As(err, &quota):
		n.note(quota.All)
		return quota.Balance.Budget.Action == billing.ActionDowngrade
	}
	return false
}

// admit decides whether a request of a known key may be sent, and where, and
// holds what it may cost. Near the limit of a budget that says so, that is where it is
// cheapest of all that the key may use.
func (r *Router) admit(ctx context.Context, a accepted) (held, error) {
	rt, err := r.permit(a.key, a.request.Model())
	if err != nil {
		return held{}, r.denied(a.key, err, a.in.Caller)
	}
	if !a.key.Downgrades() || !a.in.Operation.HasOutput() {
		return r.admitTo(ctx, a, rt)
	}
	tried := r.near.reached(a.key, a.in.Caller.At)
	if tried {
		rt = r.cheaper(a, rt)
	}
	h, err := r.admitTo(ctx, a, rt)
	if rt.downgraded || !r.near.hears(h, err) || tried {
		return h, err
	}
	cheaper := r.cheaper(a, rt)
	if !cheaper.downgraded {
		return h, err
	}
	if err == nil {
		r.holds.release(ctx, h.hold)
	}
	return r.admitTo(ctx, a, cheaper)
}

// admitTo plans a request on a route and holds what it may cost there.
func (r *Router) admitTo(ctx context.Context, a accepted, rt route) (held, error) {
	p, err := r.plan(ctx, a, rt)
	if err != nil {
		return held{}, r.denied(a.key, err, a.in.Caller)
	}
	return r.hold(ctx, p)
}

// cheaper is where a request costs less than on its own route: at all targets that the key
// may use and that can do all of it, those with a price. Where there are none, it is its
// own route.
func (r *Router) cheaper(a accepted, rt route) route {
	if now := r.usable(a, rt); len(now) > 0 && now[0].Priced {
		rest := slices.DeleteFunc(r.usable(a, route{targets: r.everyTarget(a.key)}), func(c plan.Candidate) bool {
			return !c.Priced || c.Loses != "" || c.Cost >= now[0].Cost
		})
		if len(rest) == 0 {
			return rt
		}
		targets := make([]providers.Target, len(rest))
		for i, c := range rest {
			targets[i] = *c.Target
		}
		return route{targets: targets, downgraded: true}
	}
	return rt
}

// usable are the candidates of a route by the bounds of their prompts, cheapest first.
func (r *Router) usable(a accepted, rt route) []plan.Candidate {
	in := r.input(a, rt)
	in.Counted = true // an order by bounds is good enough here
	p, _ := plan.Make(in)
	return p.Usable()
}

// everyTarget is every target that the key may use, once.
func (r *Router) everyTarget(key *billing.Key) (all []providers.Target) {
	seen := make(map[string]bool)
	for _, m := range r.Catalogue.Models() {
		rt, err := r.permit(key, m.ID)
		if err != nil {
			continue
		}
		for _, t := range rt.targets {
			if name := t.Name(); !seen[name] {
				seen[name] = true
				all = append(all, t)
			}
		}
	}
	return all
}
