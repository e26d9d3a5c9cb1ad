package router

import (
	"context"

	"tallyroute/router/idempotency"
)

// claim makes sure that a request which bears an idempotency key is answered
// once: the first has the right to it, the others get its answer or are told
// why not. Requests without a key cost nothing here.
func (r *Router) claim(ctx context.Context, a accepted) (*idempotency.Claim, *idempotency.Answer, error) {
	if a.in.Idempotency == "" || r.Idempotency == nil {
		return nil, nil, nil
	}
	request := idempotency.Request{
		ID: a.in.RequestID, KeyID: a.key.ID, Name: a.in.Idempotency, Path: a.in.Operation.Path(),
		Body: a.request.Body(),
	}
	if a.native != nil {
		request.Body = a.native.Body
	}
	now := a.in.Caller.At
	claim, kept, err := idempotency.Take(ctx, r.Idempotency, request, now, now.Add(r.o.RequestTimeout+holdGrace))
	if claim == nil {
		r.rerate(a.key, a.taken, 0)
	}
	return claim, kept, err
}

// keep stores an answer for whoever asks again.
func (r *Router) keep(ctx context.Context, a accepted, c *idempotency.Claim, answer idempotency.Answer) {
	until := a.in.Caller.At.Add(r.o.IdempotencyTTL)
	r.endClaim(ctx, a, func(ctx context.Context) error { return c.Keep(ctx, answer, until) })
}

// forget gives a claim up, so that the request may be sent again. One that has
// ended is left alone.
func (r *Router) forget(ctx context.Context, a accepted, c *idempotency.Claim) {
	if c != nil {
		r.endClaim(ctx, a, c.Forget)
	}
}

// endClaim runs f although the client may have gone. Where it fails, the claim lapses
// by itself.
func (r *Router) endClaim(ctx context.Context, a accepted, f func(context.Context) error) {
	if err := r.holds.within(context.WithoutCancel(ctx), f); err != nil {
		r.Observer.Observe(Record{RequestID: a.in.RequestID, Event: EventClaimLost, Err: err})
	}
}
