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

// QuestionError refuses a free query because its key has made too many.
type QuestionError struct{ RetryAfter time.Duration }

// Error returns a fixed message.
func (*QuestionError) Error() string { return "router: too many questions of one key" }

// questionsPerMinute limits the free queries of one key to one router, such as counting the
// tokens of a prompt or reading stored responses.
const questionsPerMinute = 1200

// question counts one query of a key.
func (r *Router) question(key *billing.Key, now time.Time) error {
	got := r.questions.Take(limit.Key{Scope: string(key.ID), Kind: "questions"}, questionsPerMinute, 1, now)
	if got.OK {
		return nil
	}
	return &QuestionError{RetryAfter: got.RetryAfter}
}

// Counted is the number of tokens in a prompt.
type Counted struct {
	tokens.Estimate
	Provider string // the one that counted them; "" if we did
}

// countTime is how long a client waits for a provider to count.
const countTime = 5 * time.Second

// Count returns how many tokens the prompt of a request has: as counted by the provider that
// would be asked first, or else by us. Nothing is charged and it does not count as a request,
// but queries of a key are rate-limited. If the key is known, it is returned with an error,
// too.
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

// theirCount returns the count of the provider that would be asked first; false if it does not
// count or takes too long.
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
	calls := r.draw(p.try, 0, a.origin)
	if len(calls) == 0 {
		return Counted{}, false
	}
	n, err := r.Counts.Count(ctx, r.exchange(p, &calls[0]))
	return Counted{tokens.Estimate{Tokens: n, Exact: true}, calls[0].Target.Provider}, err == nil
}

// Models lists what the key may use; models without a price are left out if the key needs one.
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

// Self returns a key and the balances of its budgets.
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

// Identify returns the key of a caller and counts the query against it.
func (r *Router) Identify(ctx context.Context, c Caller) (*billing.Key, error) {
	ctx, cancel := r.soon(ctx)
	defer cancel()
	key, err := r.verify(ctx, c)
	if err == nil {
		err = r.question(key, c.At)
	}
	return key, inTime(ctx, err)
}

// Events lists the newest rows caused by the key itself; only those of one request if requestID
// is not empty.
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

// Rejected lists the rows that the key itself has caused by one request and that the ledger
// refused: they wait to be booked.
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

// soon bounds how long the database may take over a client's read.
func (r *Router) soon(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, r.o.ReadTimeout, errNotRead)
}

// inTime turns an error caused by that time limit into an error of the database.
func inTime(ctx context.Context, err error) error {
	if err != nil && !errors.Is(err, billing.ErrUnavailable) && errors.Is(context.Cause(ctx), errNotRead) {
		return fmt.Errorf("%w: %w", errNotRead, err)
	}
	return err
}
