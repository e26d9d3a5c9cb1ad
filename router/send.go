package router

import (
	"context"
	"errors"
	"slices"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/router/health"
)

// Attempt is one call to one provider, for headers and error messages.
type Attempt struct {
	Provider, Model string
	Status          int            // HTTP status of the provider, 0 where none came
	Kind            providers.Kind // "" for success
	Took            time.Duration  // until the first content of a stream, or the whole of a plain answer
}

// sent is a request that a provider has begun to answer.
type sent struct {
	held
	reply    *providers.Answer
	chosen   Candidate // the last one tried
	attempts []Attempt
	rows     []billing.Spend // of the attempts that failed
	declared string          // the target that the ledger was told of: what is lost if the process dies
	end      context.CancelFunc
	detach   func() bool // ends the tie between the client's going and the upstream call
}

// send tries the candidates in turn until one begins to answer. Until then
// nothing has reached the client, so that a failure costs only time.
func (r *Router) send(ctx context.Context, h held) (sent, error) {
	upstream, end := context.WithTimeout(context.WithoutCancel(ctx), r.o.RequestTimeout)
	s := sent{held: h, end: end, detach: context.AfterFunc(ctx, end), declared: h.candidates[0].Target.Name()}
	var last error
	for _, planned := range h.candidates {
		for c := range r.accounts(planned) {
			if len(s.attempts) > 0 && !r.ready(c) {
				continue // went down since it was planned
			}
			s.chosen = c
			if last = r.declare(upstream, &s, c); last != nil {
				r.giveUp(ctx, s)
				return sent{}, last
			}
			if s.reply, last = r.attempt(upstream, &s, c); last == nil {
				return s, nil
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

// declare tells the ledger which attempt comes next, unless the hold has said
// so already: should the process die, it is booked like one that was answered.
func (r *Router) declare(ctx context.Context, s *sent, c Candidate) error {
	if name := c.Target.Name(); len(s.rows) > 0 || name != s.declared {
		s.declared = name
		return r.Ledger.Retry(ctx, s.hold.ID, append(slices.Clone(s.rows), r.lost(s.held, c, len(s.rows)+1)))
	}
	return nil
}

func (r *Router) ready(c Candidate) bool {
	target, provider := healthKeys(c.Target)
	return r.Health.Ready(target, provider, r.o.Clock())
}

// limited reports that every attempt was refused for its rate.
func limited(attempts []Attempt) bool {
	return len(attempts) > 0 && !slices.ContainsFunc(attempts, func(a Attempt) bool { return a.Kind != providers.KindRate })
}

// attempt makes one call and notes how it went.
func (r *Router) attempt(ctx context.Context, s *sent, c Candidate) (*providers.Answer, error) {
	began := r.o.Clock()
	target, provider := healthKeys(c.Target)
	if !r.Health.Begin(target, provider, began) {
		return nil, &providers.Error{Provider: c.Target.Provider, Model: c.Target.Model, Kind: providers.KindOverload, Err: errTrialTaken}
	}
	reply, err := r.Sender.Do(ctx, providers.Exchange{Operation: s.in.Operation, Target: c.Target, Request: s.req, MaxOutput: s.maxOutput(c)})
	now := r.o.Clock()
	took := now.Sub(began)
	s.timing.outside += took
	a := Attempt{Provider: c.Target.Provider, Model: c.Target.Model, Took: took}
	if err == nil {
		r.report(c, health.Outcome{Class: health.OK, Began: began}, now)
		s.attempts = append(s.attempts, a)
		return reply, nil
	}
	pe := providerError(c, err)
	a.Kind, a.Status = pe.Kind, pe.Status
	r.report(c, outcome(pe, began), now)
	row := r.row(s.held, c, len(s.attempts)+1)
	row.Status, row.ErrorKind = billing.StatusError, string(pe.Kind)
	s.attempts = append(s.attempts, a)
	s.rows = append(s.rows, row)
	return nil, pe
}

// giveUp settles a request that no provider answered: its attempts are on the
// books at nothing. Without an attempt the hold is given back.
func (r *Router) giveUp(ctx context.Context, s sent) {
	s.detach()
	s.end()
	if len(s.rows) == 0 {
		r.settler.release(ctx, s.hold.ID)
		return
	}
	s.rows[len(s.rows)-1].Final = true
	r.rerate(s.asked, 0)
	r.settler.settle(ctx, billing.Settlement{HoldID: s.hold.ID, Attempts: s.rows})
}

// abandon settles a request whose client left before anything came back. The
// provider has the prompt and may have begun: it is charged as counted.
func (r *Router) abandon(ctx context.Context, s sent) {
	s.detach()
	s.end()
	if len(s.rows) == 0 {
		r.settler.release(ctx, s.hold.ID)
		return
	}
	last := &s.rows[len(s.rows)-1]
	last.Final, last.Status = true, billing.StatusClientAborted
	r.charge(context.WithoutCancel(ctx), last, s.held, used{candidate: s.chosen})
	overrun(s.rows, s.hold)
	r.settler.settle(ctx, billing.Settlement{HoldID: s.hold.ID, Attempts: s.rows})
}

func providerError(c Candidate, err error) *providers.Error {
	if pe := (*providers.Error)(nil); errors.As(err, &pe) {
		return pe
	}
	return &providers.Error{Provider: c.Target.Provider, Model: c.Target.Model, Kind: providers.KindNetwork, Err: err}
}

// report tells the health of a target how a call went.
func (r *Router) report(c Candidate, o health.Outcome, now time.Time) {
	target, provider := healthKeys(c.Target)
	r.Health.Report(target, provider, o, now)
}

// classes are what faults say about the health of a target.
var classes = map[providers.Fault]health.Class{
	providers.FaultTarget: health.Failed, providers.FaultRate: health.Limited,
	providers.FaultCredential: health.Refused, providers.FaultRequest: health.Neutral,
}

// outcome is what a failed call says about its target.
func outcome(pe *providers.Error, began time.Time) health.Outcome {
	return health.Outcome{Class: classes[pe.Kind.Fault()], Cause: string(pe.Kind), RetryAfter: pe.RetryAfter, Began: began}
}

func retryAfter(err error) time.Duration {
	if pe := (*providers.Error)(nil); errors.As(err, &pe) {
		return pe.RetryAfter
	}
	return 0
}
