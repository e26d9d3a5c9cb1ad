package router

import (
	"context"
	"errors"
	"slices"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/router/health"
	"tallyroute/router/meter"
	"tallyroute/router/plan"
)

// sent is a request that a provider has begun to answer.
type sent struct {
	held     held
	reply    *providers.Answer
	chosen   plan.Candidate // the last one tried
	attempts []Attempt
	rows     []billing.Spend // of the attempts that failed
	end      context.CancelFunc
	detach   func() bool // ends the tie between the client's going and the upstream call
}

// send tries the candidates in turn until one begins to answer. Until then
// nothing has reached the client, so that a failure costs only time.
func (r *Router) send(ctx context.Context, h held) (sent, error) {
	upstream, end := context.WithTimeout(context.WithoutCancel(ctx), r.o.RequestTimeout)
	s := sent{held: h, end: end, detach: context.AfterFunc(ctx, end)}
	declared := h.planned.try[0].Target.Name()
	var last error
	for _, candidate := range h.planned.try {
		for c := range r.withCredentials(candidate) {
			if len(s.attempts) > 0 && !r.ready(c.Target) {
				continue // went down since it was planned
			}
			s.chosen = c
			if name := c.Target.Name(); len(s.rows) > 0 || name != declared {
				declared = name
				if last = r.declare(upstream, s); last != nil {
					r.giveUp(ctx, s)
					return sent{}, last
				}
			}
			var tried Attempt
			if s.reply, tried, last = r.attempt(upstream, h, c); last == nil {
				s.attempts = append(s.attempts, tried)
				return s, nil
			}
			if !errors.Is(last, errTrialTaken) {
				s.attempts = append(s.attempts, tried)
				s.rows = append(s.rows, h.meter.Failed(c, len(s.attempts), tried.Kind))
			}
			if ctx.Err() != nil {
				r.abandon(ctx, s)
				return sent{}, ErrClientGone
			}
			if pe := (*providers.Error)(nil); errors.As(last, &pe) && !pe.Kind.Failover() {
				r.giveUp(ctx, s)
				return sent{}, last
			}
			if upstream.Err() != nil || !anotherMay(last) {
				break
			}
		}
		if upstream.Err() != nil {
			break
		}
	}
	r.giveUp(ctx, s)
	return sent{}, &FailedError{Attempts: s.attempts, Err: last, RetryAfter: retryAfter(last), RateLimited: limited(s.attempts)}
}

// declare tells the ledger which attempt comes next: should the process die, it is
// booked like one that was answered. The hold has said so of the first.
func (r *Router) declare(ctx context.Context, s sent) error {
	return r.Ledger.Retry(ctx, s.held.hold.ID, append(slices.Clone(s.rows), s.held.meter.Lost(s.chosen, len(s.rows)+1)))
}

// attempt makes one call and tells the health of the target how it went. What
// fails is a *providers.Error.
func (r *Router) attempt(ctx context.Context, h held, c plan.Candidate) (*providers.Answer, Attempt, error) {
	began := r.o.Clock()
	a := Attempt{Provider: c.Target.Provider, Model: c.Target.Model}
	if !r.begin(c.Target, began) {
		return nil, a, &providers.Error{Provider: a.Provider, Model: a.Model, Kind: providers.KindOverload, Err: errTrialTaken}
	}
	reply, err := r.Sender.Do(ctx, providers.Exchange{
		Operation: h.planned.accepted.in.Operation, Target: *c.Target, Request: h.meter.Request, MaxOutput: h.meter.MaxOutput(c),
	})
	now := r.o.Clock()
	a.Took = now.Sub(began)
	if err == nil {
		r.report(c.Target, health.Outcome{Class: health.OK, Began: began}, now)
		return reply, a, nil
	}
	pe := providerError(c.Target, err)
	a.Kind, a.Status = pe.Kind, pe.Status
	r.report(c.Target, outcome(pe, began), now)
	return nil, a, pe
}

// giveUp settles a request that no provider answered: its attempts are on the
// books at nothing. Without an attempt the hold is given back.
func (r *Router) giveUp(ctx context.Context, s sent) {
	s.detach()
	s.end()
	if len(s.rows) == 0 {
		r.holds.release(ctx, s.held.hold)
		return
	}
	s.rows[len(s.rows)-1].Final = true
	timed(s.rows, s.attempts)
	r.rerate(s.held.planned.accepted.key, s.held.planned.accepted.taken, 0)
	r.holds.settle(ctx, s.held.hold, s.rows)
}

// abandon settles a request whose client left before anything came back. The
// provider has the prompt and may have begun: it is charged as counted.
func (r *Router) abandon(ctx context.Context, s sent) {
	s.detach()
	s.end()
	if len(s.rows) == 0 {
		r.holds.release(ctx, s.held.hold)
		return
	}
	last := &s.rows[len(s.rows)-1]
	*last = r.charge(ctx, s.held.meter, meter.Use{
		Candidate: s.chosen, Attempt: last.Attempt, Status: billing.StatusClientAborted, ErrorKind: last.ErrorKind,
	})
	meter.Overrun(s.rows, s.held.hold)
	timed(s.rows, s.attempts)
	r.holds.settle(ctx, s.held.hold, s.rows)
}

func providerError(t *providers.Target, err error) *providers.Error {
	if pe := (*providers.Error)(nil); errors.As(err, &pe) {
		return pe
	}
	return &providers.Error{Provider: t.Provider, Model: t.Model, Kind: providers.KindNetwork, Err: err}
}

// anotherMay reports that a call failed for what another credential may not meet.
func anotherMay(err error) bool {
	var pe *providers.Error
	return errors.As(err, &pe) && pe.Kind.AnotherCredential() || errors.Is(err, errTrialTaken)
}

// limited reports that every attempt was refused for its rate.
func limited(attempts []Attempt) bool {
	return len(attempts) > 0 && !slices.ContainsFunc(attempts, func(a Attempt) bool { return a.Kind != providers.KindRate })
}

func retryAfter(err error) time.Duration {
	if pe := (*providers.Error)(nil); errors.As(err, &pe) {
		return pe.RetryAfter
	}
	return 0
}
