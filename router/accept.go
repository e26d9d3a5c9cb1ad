package router

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/policy"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/health"
	"tallyroute/router/idempotency"
)

// Rate is one limit, as the x-ratelimit headers show it. Remaining is a lower bound: for a
// limit that routers lease, it is what this router knows of.
type Rate struct {
	Kind      string // "requests" or "tokens"
	Limit     int64
	Remaining int64
	Reset     time.Duration
}

// ratesOf returns the request limit and the token limit with the least left: the per-minute
// limits or, without any, the tightest of all. Clients see them in the headers they already
// know.
func ratesOf(balances []billing.Balance, now time.Time) (rates []Rate) {
	rates = withTightest(nil, "requests", balances, now, func(b *billing.Balance) (int64, *int64, bool) {
		free, ok := b.FreeRequests()
		return free, b.Budget.Requests, ok && !b.Window.Concurrent()
	})
	return withTightest(rates, "tokens", balances, now, func(b *billing.Balance) (int64, *int64, bool) {
		free, ok := b.FreeTokens()
		return free, b.Budget.Tokens, ok
	})
}

// RatesOf returns the limits to show with a refusal: the tightest of requests and of tokens,
// including the one that refused.
func RatesOf(e *billing.QuotaError, now time.Time) []Rate {
	return ratesOf(append([]billing.Balance{e.Balance}, e.All...), now)
}

// withTightest adds the limit of one kind that has the least left.
func withTightest(rates []Rate, kind string, balances []billing.Balance, now time.Time,
	left func(*billing.Balance) (free int64, limit *int64, limited bool),
) []Rate {
	var tightest Rate
	var of *billing.Balance
	for i := range balances {
		b := &balances[i]
		free, limit, ok := left(b)
		perMinute := b.Budget.Period == billing.PeriodMinute
		switch {
		case !ok:
			continue
		case of == nil:
		case of.Budget.Period == billing.PeriodMinute != perMinute:
			if !perMinute {
				continue
			}
		case tightest.Remaining <= free:
			continue
		}
		of, tightest = b, Rate{Kind: kind, Limit: *limit, Remaining: free}
		if !b.Window.End.IsZero() {
			tightest.Reset = max(0, b.Window.End.Sub(now))
		}
	}
	if of == nil {
		return rates
	}
	return append(rates, tightest)
}

// accepted is a request whose key is known and whose body has been read.
type accepted struct {
	in      Inbound
	key     *billing.Key
	request *chat.Request
	native  *providers.Native // the request as its client wrote it, if that is not a chat completion
	origin  health.Origin     // whose failures its own failures are counted with
	started time.Time         // by our own clock
	waited  time.Duration     // for the client to send the body
}

// claims reports whether the request may be sent again but must be answered only once: it
// carries on without its client if there is room.
func (a accepted) claims() bool { return a.in.Idempotency != "" }

// accept determines whose request this is and what it asks for. It reads nothing of the body
// before the key is known; a large one waits for the key's turn. On error it returns as much as
// is known, for the record.
func (r *Router) accept(ctx context.Context, inbound Inbound) (accepted, error) {
	a := accepted{in: inbound, started: r.o.Clock()}
	var err error
	if a.key, err = r.verify(ctx, inbound.Caller); err != nil {
		return a, err
	}
	inbound.Room.Of(string(a.key.ID))
	began := r.o.Clock()
	body, err := inbound.Read()
	if a.waited = r.o.Clock().Sub(began); err != nil {
		return a, err
	}
	free, err := r.turn(ctx, a.key.ID, len(body))
	if err != nil {
		_, err = endOf(ctx)
		return a, err
	}
	defer free()
	asked := Asked{Body: body}
	if inbound.Translate != nil {
		if asked, err = inbound.Translate(ctx, a.key, body, r.o.Requests); err != nil {
			return a, err
		}
	}
	a.native = asked.Native
	if a.request, err = inbound.Operation.Parse(asked.Body, r.o.Requests); err != nil {
		return a, err
	}
	a.origin = health.Origin{Key: string(a.key.ID), Team: a.key.TeamID, Body: maphash.Bytes(r.seed, body)}
	if a.key.Rights != nil {
		err = r.ask(a)
	}
	return a, err
}

// session returns what the client calls the session that the request belongs to.
func (a accepted) session() string {
	return cmp.Or(a.in.Session, billing.CleanSession(a.request.Session()))
}

// endUser returns the end user whom the request is for, as the key or the client states.
func (a accepted) endUser() string { return cmp.Or(a.key.EndUser, a.request.EndUser()) }

// holder returns the key to report with an error, unless the caller must not learn that it is
// one.
func holder(key *billing.Key, err error) *billing.Key {
	if errors.Is(err, billing.ErrAddress) {
		return nil
	}
	return key
}

// RefusedKeyError refuses a known key. Key is for our own records; Reason determines what the
// client may be told about it.
type RefusedKeyError struct {
	Key    *billing.Key
	Reason error
}

// Error returns the message of the reason.
func (e *RefusedKeyError) Error() string { return e.Reason.Error() }

// Unwrap returns the reason.
func (e *RefusedKeyError) Unwrap() error { return e.Reason }

// refused wraps the reason for refusing a key, adding the key if it is known.
func refused(key *billing.Key, why error) error {
	if key == nil {
		return why
	}
	return &RefusedKeyError{key, why}
}

// verify returns the key of the caller, provided that it may be used from where the caller is.
func (r *Router) verify(ctx context.Context, c Caller) (*billing.Key, error) {
	key, known, err := r.Verifier.Recall(c.Secret, c.At)
	switch {
	case !known:
		key, err = r.strangers.look(ctx, r.Verifier, c)
	case key == nil && err == nil:
		key, err = r.Verifier.Verify(ctx, c.Secret, c.At)
	}
	if err != nil {
		return nil, refused(key, err)
	}
	key = c.Temporary.Narrow(key)
	if err := r.enter(key, c); err != nil {
		return holder(key, err), refused(key, err)
	}
	if at := &key.Secret; r.Watch != nil && (at.Shared || at.Old()) {
		r.Watch.Note(key, c.From, c.Agent, c.At)
	}
	return key, nil
}

// renew returns the same request under the current state of its key.
func (r *Router) renew(ctx context.Context, a accepted) (accepted, error) {
	var err error
	if a.key, err = r.Verifier.Refresh(ctx, a.in.Caller.Secret, a.in.Caller.At); err == nil {
		a.key = a.in.Caller.Temporary.Narrow(a.key)
		err = r.enter(a.key, a.in.Caller)
	}
	if err == nil && a.key.Rights != nil {
		err = r.ask(a)
	}
	return a, err
}

// bodyBytes returns the size of the request, as its client wrote it if that is known.
func bodyBytes(a accepted) int64 {
	if a.native != nil {
		return int64(len(a.native.Body))
	}
	return int64(len(a.request.Body()))
}

// ask checks whether the key's policies allow the request, whichever target serves it.
func (r *Router) ask(a accepted) error {
	return r.denied(a.key, a.key.Rights.Ask(&policy.Request{
		Entry: a.in.Caller.entry(), Model: a.request.Model(), Features: features(a.request, a.native), MaxOutput: a.request.MaxOutput(),
		Choices: a.request.N(), BodyBytes: bodyBytes(a), Tags: tags(a.key.Tags, a.in.Tags),
		EndUser: a.endUser(), Session: a.session(),
	}), a.in.Caller)
}

// turn waits until the key may do CPU-heavy work on this many bytes. free ends its turn.
func (r *Router) turn(ctx context.Context, key billing.KeyID, size int) (free func(), err error) {
	if size < providers.Heavy {
		return func() {}, nil
	}
	return r.Turns.Of(string(key)).Take(ctx)
}

// claim makes sure that a request with an idempotency key is answered once: the first one gets
// the right to answer; later ones get its answer or an error that says why not.
func (r *Router) claim(ctx context.Context, a accepted) (*idempotency.Claim, *idempotency.Answer, error) {
	request := idempotency.Request{
		ID: a.in.RequestID, KeyID: a.key.ID, Name: a.in.Caller.Temporary.Name(a.in.Idempotency), Path: a.in.Operation.Path(),
		Body: a.request.Body(),
	}
	if a.native != nil {
		request.Path, request.Body = request.Path+a.native.Path, a.native.Body
	}
	now := a.in.Caller.At
	claim, kept, err := idempotency.Take(ctx, r.Idempotency, request, now, now.Add(r.o.RequestTimeout+holdGrace))
	return claim, kept, err
}

// keep stores an answer for anyone who sends the same request again.
func (r *Router) keep(ctx context.Context, a accepted, c *idempotency.Claim, answer idempotency.Answer) {
	until := a.in.Caller.At.Add(r.o.IdempotencyTTL)
	r.endClaim(ctx, a, func(ctx context.Context) error { return c.Keep(ctx, answer, until) })
}

// forget gives up a claim so that the request may be sent again. A claim that has ended is left
// alone.
func (r *Router) forget(ctx context.Context, a accepted, c *idempotency.Claim) {
	if c != nil {
		r.endClaim(ctx, a, c.Forget)
	}
}

// endClaim runs f even if the client has gone. If f fails, the claim lapses by itself.
func (r *Router) endClaim(ctx context.Context, a accepted, f func(context.Context) error) {
	if err := r.holds.within(context.WithoutCancel(ctx), f); err != nil {
		r.Observer.Observe(Record{RequestID: a.in.RequestID, Event: EventClaimLost, Err: err})
	}
}

// route says where a request may go.
type route struct {
	targets []providers.Target
	pinned  bool // the client named the provider
	// downgraded says that these are not the targets of the model that was asked for but cheaper
	// ones, because a budget of the key requires it.
	downgraded bool
}

// permit finds the targets of the requested model and keeps those that the key may use: all of
// them if the key may use the name that was asked for, otherwise those whose own name or model
// it may use. Of these it returns the ones that the key's policies allow: the same list if that
// is all of them. It is an error if there are none.
func (r *Router) permit(key *billing.Key, asked string) (route, error) {
	targets, pinned, ok := r.Catalogue.Resolve(asked)
	if !ok {
		may := func(name string) bool { return r.names(key, name) }
		return route{}, &ModelError{Asked: asked, Nearest: r.Catalogue.Nearest(asked, may)}
	}
	if !key.AllowsModel(asked, r.o.Groups) {
		targets = slices.DeleteFunc(slices.Clone(targets), func(t providers.Target) bool {
			return !key.AllowsModel(t.Name(), r.o.Groups) && !key.AllowsModel(t.Model, r.o.Groups)
		})
		if len(targets) == 0 {
			return route{}, &ForbiddenModelError{Asked: asked, Allowed: key.Models}
		}
	}
	var first error
	allowed := targets
	for i := range targets {
		err := r.serves(key, asked, &targets[i])
		switch {
		case err != nil && first == nil:
			first, allowed = err, slices.Clone(targets[:i])
		case err == nil && first != nil:
			allowed = append(allowed, targets[i])
		}
	}
	if len(allowed) == 0 {
		return route{}, first
	}
	return route{targets: allowed, pinned: pinned}, nil
}

// names reports whether the key may know about a name.
func (r *Router) names(key *billing.Key, name string) bool {
	_, _, known := r.Catalogue.Resolve(name)
	if !known {
		return false
	}
	_, err := r.permit(key, name)
	return err == nil
}

// lists reports whether the key may use a listed model, and reduces its providers to those that
// the key may use.
func (r *Router) lists(key *billing.Key, m *providers.Listing) bool {
	rt, err := r.permit(key, m.ID)
	if err != nil {
		return false
	}
	m.Providers = slices.DeleteFunc(slices.Clone(m.Providers), func(name string) bool {
		return !slices.ContainsFunc(rt.targets, func(t providers.Target) bool { return t.Provider == name })
	})
	return true
}
