package router

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"tallyroute/billing"
	"tallyroute/billing/policy"
	"tallyroute/providers"
	"tallyroute/router/brake"
	"tallyroute/router/meter"
	"tallyroute/router/plan"
)

// row returns what the rows of all attempts of a request have in common.
func (r *Router) row(ctx context.Context, a accepted) (billing.Spend, error) {
	size := int64(len(a.request.Body()))
	row := billing.Spend{
		OccurredAt: a.in.Caller.At, Kind: billing.KindUsage, RequestID: a.in.RequestID, Owner: a.key.Owner(),
		EndUser: billing.EndUserName(a.endUser()), Tags: tags(a.key.Tags, a.in.Tags), Session: a.session(),
		RequestedModel: a.request.Model(), Streamed: a.request.Stream(), Status: billing.StatusOK, BytesIn: &size,
	}
	if r.Fingerprint == nil {
		return row, nil
	}
	free, err := r.turn(ctx, a.key.ID, len(a.request.Body()))
	if err != nil {
		return row, err
	}
	defer free()
	row.Fingerprint, row.Prefixes = r.Fingerprint.Of(a.key.ProjectID, a.in.Caller.At, a.request)
	return row, nil
}

// brake counts a request that is about to be held, and returns a *brake.StoppedError if the
// request is part of a runaway.
func (r *Router) brake(a accepted, row billing.Spend) error {
	most := r.runaway(a.key)
	if most == (policy.Runaway{}) {
		return nil
	}
	return r.Brake.Begin(running(a, row), brake.Limits{
		Repeats: most.Repeats, Requests: most.SessionRequests, Spend: billing.SatMul(most.SessionCents, billing.NanoPerUSD/100),
		Within: r.o.Brake.Within, Pause: r.o.Brake.Pause,
	}, a.in.Caller.At)
}

// runaway returns the thresholds at which requests of a key count as a runaway. All zero means
// never.
func (r *Router) runaway(k *billing.Key) policy.Runaway {
	if r.Brake == nil {
		return policy.Runaway{}
	}
	return r.o.Brake.Most.Lesser(k.Rights.Runaway())
}

// unbrake takes back a request that came to nothing.
func (r *Router) unbrake(a accepted, row billing.Spend) {
	if r.runaway(a.key) != (policy.Runaway{}) {
		r.Brake.Undo(running(a, row), a.in.Caller.At)
	}
}

// running returns a request as the brake sees it.
func running(a accepted, row billing.Spend) brake.Request {
	same := row.Fingerprint
	switch {
	case !a.in.Operation.HasOutput():
		same = nil // the same text has the same embedding, and repeats are normal
	case same == nil:
		same = binary.LittleEndian.AppendUint64(nil, a.origin.Body)
	}
	return brake.Request{Key: string(a.key.ID), Version: a.key.Version, Session: row.Session, Print: same}
}

// refits is how often a hold is cut down to what still fits before the refusal is final. Only
// requests that race for the same last tokens need more than one.
const refits = 4

// held is a planned request whose cost is reserved.
type held struct {
	planned  planned
	meter    *meter.Meter
	hold     *billing.Hold
	balances []billing.Balance
	// first is the call that the hold is for. If part budgets apply to the request, the other
	// calls have been drawn, too, and it is known which of these budgets have no room.
	first  *plan.Candidate
	limits *partLimits
	draws  draws
	full   full
}

// hold takes the hold: first on the cheap bound of the prompt, which is enough if there is
// plenty of room; then on the exact count; then, if the client set no output bound of its own,
// for as much output as still fits.
func (r *Router) hold(ctx context.Context, p planned) (h held, err error) {
	a := p.accepted
	row, err := r.row(ctx, a)
	if err != nil {
		return held{}, err
	}
	if err = r.brake(a, row); err != nil {
		return held{}, err
	}
	defer func() {
		if err != nil {
			r.unbrake(a, row)
		}
	}()
	p.lowers = a.request.MaxOutput() == 0 && a.in.Operation.HasOutput() && !a.native.Unbounded()
	limits := partLimitsOf(a.key, a.in.Caller.At, r.o.Groups, r.crowd)
	m := measure(p, r.o.MaxAttempts, row, limits)
	h, err = r.reserve(ctx, p, m, limits)
	var quota *billing.QuotaError
	if !errors.As(err, &quota) {
		return h, err
	}
	if !p.plan.Counted {
		if p, err = r.planExactly(ctx, p); err != nil {
			return held{}, err
		}
		m = measure(p, r.o.MaxAttempts, row, limits)
		h, err = r.reserve(ctx, p, m, limits)
	}
	for range refits {
		if !errors.As(err, &quota) || !p.lowers {
			return h, err
		}
		fitting := *m
		if fitting.Lowered = m.Fits(quota.All); fitting.Lowered < m.Least() {
			break
		}
		h, err = r.reserve(ctx, p, &fitting, limits)
	}
	if errors.As(err, &quota) { // final, and the error reports it as such
		p.lowers = false
		return r.reserve(ctx, p, m, limits)
	}
	return h, err
}

// measure returns the meter of a planned request. At most this many candidates are tried, and
// all rows share the fields of row.
func measure(p planned, most int, row billing.Spend, limits *partLimits) *meter.Meter {
	m := &meter.Meter{
		Request: p.accepted.request, Plan: p.plan, Try: p.try[:min(len(p.try), most)], Money: p.accepted.key.BoundInMoney(), Row: row,
	}
	if limits != nil {
		m.Limits = limits.ids
	}
	return m
}

// reserve takes a hold for the most that any of the candidates may cost according to m. If part
// budgets apply to the request, the hold is for the first call for which all of them have room.
func (r *Router) reserve(ctx context.Context, p planned, m *meter.Meter, l *partLimits) (held, error) {
	h := held{planned: p, meter: m, first: &p.try[0]}
	if l == nil {
		return r.reserveFor(ctx, h)
	}
	h.limits, h.draws, h.full = l, r.drawAll(p, m), make(full)
	var first error
	for _, calls := range h.draws {
		for i := range calls {
			c := &calls[i]
			if h.full.blocks(l, c.Target) {
				continue
			}
			h.first = c
			taken, err := r.reserveFor(ctx, h)
			if !h.full.notes(err) {
				return taken, err
			}
			first = cmp.Or(first, err)
		}
	}
	return held{}, first
}

// reserveFor takes the hold of a request whose first call is that of h.
func (r *Router) reserveFor(ctx context.Context, h held) (held, error) {
	a, p := h.planned.accepted, h.planned
	key, in, most := a.key, a.in, h.meter.Hold()
	lines, err := key.Lines(in.Caller.At)
	if err == nil && h.limits != nil {
		var also []billing.HoldLine
		also, err = h.limits.lines(h.first.Target, nil)
		lines = append(lines, also...)
		slices.SortFunc(lines, func(a, b billing.HoldLine) int { return cmp.Compare(a.Budget.ID, b.Budget.ID) })
	}
	if err != nil {
		return held{}, err
	}
	h.hold = &billing.Hold{
		ID: in.RequestID, KeyID: key.ID, KeyVersion: key.Version, Lines: lines,
		Tokens: most.Tokens, Money: most.Money, HeadroomTokens: most.HeadroomTokens, HeadroomMoney: most.HeadroomMoney,
		ExpiresAt: in.Caller.At.Add(r.o.RequestTimeout + holdGrace), IfLost: h.meter.Lost(h.first, 1),
		Overrun: key.Overrun, EnabledAt: key.EnabledAt, Provisional: p.lowers || key.Downgrades() && !p.plan.Downgraded,
		Allotment: key.Allotment,
	}
	h.balances, err = r.holds.take(ctx, h.hold, in.Caller.At)
	var quota *billing.QuotaError
	var crowded *billing.CrowdedError
	switch {
	case errors.As(err, &quota):
		called(quota, lines)
		quota.Holder = key.Holder(quota.Balance.Budget)
	case errors.As(err, &crowded) && h.limits.share(crowded.BudgetID):
		return r.reserveFor(ctx, h)
	}
	if err != nil {
		return held{}, err
	}
	return h, nil
}

// hears records the result of a hold and reports whether a cheaper model should be tried: a
// budget has reached its threshold, or has no room for the model that was asked for.
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

// admit decides whether a request with a known key may be sent, and where, and holds what it
// may cost. Near the limit of a budget that downgrades, it goes to the cheapest target that the
// key may use.
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

// cheaper returns the route on which a request costs less than on its own: all priced targets
// that the key may use and that can serve all of the request. If there are none, it returns the
// request's own route.
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

// usable returns the candidates of a route, judged by the bounds of their prompts, cheapest
// first.
func (r *Router) usable(a accepted, rt route) []plan.Candidate {
	in := r.input(a, rt)
	in.Counted = true // an order by bounds is good enough here
	p, _ := plan.Make(in)
	return p.Usable()
}

// everyTarget returns every target that the key may use, once each.
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

// draws are the calls that may be made for each of the first candidates, in order. Without part
// budgets they are drawn only when a candidate's turn comes.
type draws [][]plan.Candidate

func (r *Router) drawAll(p planned, m *meter.Meter) draws {
	all := make(draws, len(m.Try))
	for i := range m.Try {
		all[i] = r.draw(m.Try, i, p.accepted.origin)
	}
	return all
}

// full is the set of part budgets that have no room for a request.
type full map[string]bool // by the ids of budgets

// blocks reports whether a call to a target would count against one of them.
func (f full) blocks(l *partLimits, t *providers.Target) bool {
	return len(f) > 0 && slices.ContainsFunc(l.ids(t), func(id string) bool { return f[id] })
}

// notes records a refusal by a part that depends on the target: other targets may still serve.
func (f full) notes(err error) bool {
	var quota *billing.QuotaError
	if !errors.As(err, &quota) || !quota.Balance.Budget.Part.OfTarget() || quota.Balance.Budget.Parent == "" {
		return false
	}
	f[quota.Balance.Budget.ID] = true
	return true
}

// called names the budget of a refusal as the lines of the hold do: what the database knows
// about it lacks the names of persons.
func called(quota *billing.QuotaError, lines []billing.HoldLine) {
	for _, l := range lines {
		if l.Budget.ID == quota.Balance.Budget.ID {
			quota.Balance.Budget.Named = cmp.Or(quota.Balance.Budget.Named, l.Budget.Named)
		}
	}
}
