package router

import (
	"context"
	"errors"

	"tallyroute/billing"
	"tallyroute/billing/policy"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/brake"
	"tallyroute/router/idempotency"
	"tallyroute/router/limit"
	"tallyroute/router/plan"
)

// Result is the result of a request: an answer, or the stored answer to an earlier request with
// the same idempotency key.
type Result struct {
	Key    *billing.Key        // set with an error, too; nil if it is not known
	Answer *Answer             // nil if a stored answer was found
	Stored *idempotency.Answer // nil if the request was answered now
}

// Complete runs one request. It is the list of steps, each of which takes what the previous
// ones returned. Errors are those of billing, *chat.FieldError, *providers.Error (a request
// that the provider itself refused), ErrClientGone and the typed errors of router, router/plan
// and router/idempotency; errors from the request's Read are passed on.
func (r *Router) Complete(ctx context.Context, inbound Inbound) (Result, error) {
	a, err := r.accept(ctx, inbound)
	if err != nil {
		return r.refuse(a, err)
	}
	var claim *idempotency.Claim
	if a.claims() && r.Idempotency != nil {
		var kept *idempotency.Answer
		if claim, kept, err = r.claim(ctx, a); err != nil {
			return r.refuse(a, err)
		}
		if kept != nil {
			return r.replay(a, kept)
		}
	}
	h, err := r.admit(ctx, a)
	if errors.Is(err, billing.ErrStaleKey) { // changed since it was cached: judge the request again
		if a, err = r.renew(ctx, a); err == nil {
			h, err = r.admit(ctx, a)
		}
	}
	if err != nil {
		r.forget(ctx, a, claim)
		return r.refuse(a, err)
	}
	s, err := r.send(ctx, h)
	if err != nil {
		r.unbrake(a, h.meter.Row)
		r.forget(ctx, a, claim)
		return r.refuse(a, err)
	}
	return Result{Key: a.key, Answer: r.answer(ctx, s, claim)}, nil
}

// replay returns the stored result of a request that was answered before, unless the key has since
// lost access to the model.
func (r *Router) replay(a accepted, kept *idempotency.Answer) (Result, error) {
	if _, err := r.permit(a.key, a.request.Model()); err != nil && !is[*ModelError](err) {
		return r.refuse(a, r.denied(a.key, err, a.in.Caller))
	}
	r.Observer.Observe(Record{
		Event: EventRepeated, RequestID: a.in.RequestID, KeyID: a.key.ID, TeamID: a.key.TeamID,
		Original: kept.RequestID,
	})
	return Result{Key: a.key, Stored: kept}, nil
}

// refuse records a request that was not answered.
func (r *Router) refuse(a accepted, err error) (Result, error) {
	total := r.o.Clock().Sub(a.started)
	rec := Record{
		Event: EventRequest, RequestID: a.in.RequestID, Status: billing.StatusError, Refusal: refusalWord(err),
		Total: total, Overhead: total - a.waited, Err: err,
	}
	if a.key != nil {
		rec.KeyID, rec.TeamID = a.key.ID, a.key.TeamID
	}
	if a.request != nil {
		rec.Streamed = a.request.Stream()
		if _, _, ok := r.Catalogue.Resolve(a.request.Model()); ok {
			rec.RequestedModel = a.request.Model()
		}
	}
	var failed *FailedError
	if errors.As(err, &failed) {
		rec.Attempts = failed.Attempts
	}
	switch {
	case errors.Is(err, ErrClientGone):
		rec.Status = billing.StatusClientAborted
	case errors.Is(err, ErrStopping):
		rec.Status = billing.StatusInterrupted
	}
	r.Observer.Observe(rec)
	return Result{Key: a.key}, err
}

// refusalWord returns the cause of a refusal as a metric label.
func refusalWord(err error) string {
	for _, row := range []struct {
		word string
		is   bool
	}{
		{"key", errors.Is(err, billing.ErrMalformedKey) || errors.Is(err, billing.ErrUnknownKey) ||
			errors.Is(err, billing.ErrRevoked) || errors.Is(err, billing.ErrExpired) || errors.Is(err, billing.ErrStopped) ||
			errors.Is(err, billing.ErrRotated) || errors.Is(err, billing.ErrDisabled) ||
			errors.Is(err, billing.ErrAddress) || is[*StrangerError](err)},
		{"ledger", errors.Is(err, billing.ErrUnavailable)},
		{"client_gone", errors.Is(err, ErrClientGone)},
		{"stopping", errors.Is(err, ErrStopping)},
		{"rate", isRate(err)},
		{"quota", is[*billing.QuotaError](err)},
		{"memory", is[*limit.FullError](err)},
		{"model", is[*ModelError](err) || is[*ForbiddenModelError](err)},
		{"request", is[*chat.FieldError](err) || is[*plan.AbilityError](err) || is[*plan.ContextError](err) || is[*plan.TightError](err) ||
			unfit(err)},
		{"policy", is[*policy.Denied](err)},
		{"runaway", is[*brake.StoppedError](err)},
		{"unpriced", is[*plan.UnpricedError](err)},
		{"member", is[*plan.MemberError](err)},
		{"duplicate", is[*idempotency.DuplicateError](err)},
		{"failed", is[*FailedError](err)},
		{"provider", is[*providers.Error](err)},
	} {
		if row.is {
			return row.word
		}
	}
	return "other"
}

// isRate reports whether a limit per minute, or one on concurrent requests, refused the
// request.
func isRate(err error) bool {
	var quota *billing.QuotaError
	return errors.As(err, &quota) && quota.Passes()
}

func is[E error](err error) bool {
	var target E
	return errors.As(err, &target)
}
