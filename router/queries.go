package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/router/limit"
	"tallyroute/router/tokens"
)

// QuestionError refuses a question that costs nothing: its key has asked too many.
type QuestionError struct{ RetryAfter time.Duration }

// Error says so.
func (*QuestionError) Error() string { return "router: too many questions of one key" }

// questionsPerMinute are those of one key, to one router, that are no requests: what a
// prompt counts, and what is kept.
const questionsPerMinute = 1200

// question counts one of a key.
func (r *Router) question(key *billing.Key, now time.Time) error {
	got := r.questions.Take(limit.Key{Scope: string(key.ID), Kind: "questions"}, questionsPerMinute, 1, now)
	if got.OK {
		return nil
	}
	return &QuestionError{RetryAfter: got.RetryAfter}
}

// Counted is how many tokens a prompt has.
type Counted struct {
	tokens.Estimate
	Provider string // that has counted them; "" where we have
}

// countTime is how long a client waits for a provider to count.
const countTime = 5 * time.Second

// Count is how many tokens the prompt of a request has: as the provider counts that would
// be asked first, or else by our own count. Nothing is charged, and it counts as no
// request; but a key may ask only so often.
// The key is returned beside an error, too, where it is known.
func (r *Router) Count(ctx context.Context, inbound Inbound) (*billing.Key, Counted, error) {
	a, err := r.accept(ctx, inbound)
	if err != nil {
		return a.key, Counted{}, err
	}
	if err := r.question(a.key, inbound.Caller.At); err != nil {
		return a.key, Counted{}, err
	}
	rt, err := r.permit(a.key, a.request.Model())
	if err != nil {
		return a.key, Counted{}, r.denied(a.key, err, inbound.Caller)
	}
	if n, ok := r.theirCount(ctx, a, rt); ok {
		return a.key, n, nil
	}
	free, err := r.turn(ctx, a.key.ID, len(a.request.Body()))
	if err != nil {
		return a.key, Counted{}, err
	}
	defer free()
	prompt, err := r.Tokens.Prompt(ctx, a.request, tokenizer(&rt.targets[0]))
	return a.key, Counted{Estimate: prompt}, err
}

// theirCount is what the provider counts that would be asked first; false where it does
// not, or not in time.
func (r *Router) theirCount(ctx context.Context, a accepted, rt route) (Counted, bool) {
	if r.Counts == nil {
		return Counted{}, false
	}
	p, err := r.plan(ctx, a, rt)
	if err != nil || len(p.try) == 0 {
		return Counted{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, countTime)
	defer cancel()
	for c := range r.withCredentials(p.try[0], a.origin) {
		n, err := r.Counts.Count(ctx, r.exchange(p, c))
		return Counted{tokens.Estimate{Tokens: n, Exact: true}, c.Target.Provider}, err == nil
	}
	return Counted{}, false
}

// Models lists what the key may use: without a price nothing that needs one.
func (r *Router) Models(ctx context.Context, c Caller) (*billing.Key, []providers.Listing, error) {
	key, err := r.verify(ctx, c)
	if err != nil {
		return key, nil, err
	}
	all := r.Catalogue.Models()
	list := all[:0]
	for _, m := range all {
		if priced := m.Prompt != nil || m.Completion != nil; (priced || !key.NeedsPrice()) && r.lists(key, &m) {
			list = append(list, m)
		}
	}
	return key, list, nil
}

// Self is a key and how its budgets stand.
func (r *Router) Self(ctx context.Context, c Caller) (*billing.Key, []billing.Balance, error) {
	ctx, cancel := r.soon(ctx)
	defer cancel()
	key, err := r.verify(ctx, c)
	if err != nil {
		return nil, nil, inTime(ctx, err)
	}
	balances, err := r.Ledger.Balances(ctx, key, c.At)
	if err == nil && key.Allotment != nil {
		var used billing.Amount
		used, err = r.Allotments.Allotted(ctx, key.Allotment.ID)
		balances = append(slices.Clip(balances), key.Allotment.Balance(used))
	}
	return key, balances, inTime(ctx, err)
}

// Identify is the key of a caller, whose question counts as one.
func (r *Router) Identify(ctx context.Context, c Caller) (*billing.Key, error) {
	ctx, cancel := r.soon(ctx)
	defer cancel()
	key, err := r.verify(ctx, c)
	if err == nil {
		err = r.question(key, c.At)
	}
	return key, inTime(ctx, err)
}

// Events lists the newest rows that the key itself has caused; those of one
// request where requestID is not empty.
func (r *Router) Events(ctx context.Context, c Caller, requestID string) (*billing.Key, []billing.Spend, error) {
	ctx, cancel := r.soon(ctx)
	defer cancel()
	key, err := r.verify(ctx, c)
	if err != nil {
		return key, nil, inTime(ctx, err)
	}
	rows, err := r.Parts.Events.Events(ctx, billing.EventQuery{RequestID: requestID, KeyID: key.ID})
	rows = slices.DeleteFunc(rows, func(row billing.Spend) bool { return !c.Temporary.Caused(row.Tags) })
	return key, rows, inTime(ctx, err)
}

// Rejected lists the rows that the key itself has caused by one request and that the
// ledger refused: they wait to be booked.
func (r *Router) Rejected(ctx context.Context, c Caller, requestID string) ([]billing.RejectedRow, error) {
	ctx, cancel := r.soon(ctx)
	defer cancel()
	key, err := r.verify(ctx, c)
	if err != nil {
		return nil, inTime(ctx, err)
	}
	rows, err := r.Parts.Events.ListRejects(ctx, requestID)
	rows = slices.DeleteFunc(rows, func(row billing.RejectedRow) bool {
		return row.Row.Owner.KeyID != key.ID || !c.Temporary.Caused(row.Row.Tags)
	})
	return rows, inTime(ctx, err)
}

var errNotRead = fmt.Errorf("%w: nothing could be read in time", billing.ErrUnavailable)

// soon bounds how long the database may take over what a client wants to read.
func (r *Router) soon(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, r.o.ReadTimeout, errNotRead)
}

// inTime makes an error that ended with the time for reading one of the database.
func inTime(ctx context.Context, err error) error {
	if err != nil && !errors.Is(err, billing.ErrUnavailable) && errors.Is(context.Cause(ctx), errNotRead) {
		return fmt.Errorf("%w: %w", errNotRead, err)
	}
	return err
}
