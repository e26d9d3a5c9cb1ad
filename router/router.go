package router

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/learn"
)

// Caller is who asks, from where and when.
type Caller struct {
	Secret billing.Secret
	From   netip.Addr
	At     time.Time
}

// Inbound is one request as the server hands it over.
type Inbound struct {
	Caller
	RequestID string // "req_" and a ULID, made by the server: the ledger's key
	Operation providers.Operation
	// Read returns the body. It is called at most once, after the key is known.
	Read    func() ([]byte, error)
	Tags    map[string]string
	Explain Explain
	// Idempotency is what the client calls the request, so that it may send it
	// again and have it answered once; "" for most.
	Idempotency string
}

// Explain says whether an answer shall carry its plan.
type Explain int

// The values of Explain.
const (
	ExplainNot  Explain = iota
	ExplainPlan         // every candidate, its price and why it was or was not taken
)

// Options are the settings of a Router. The zero value of each has a default.
type Options struct {
	MaxAttempts      int           // providers tried for one request; default 3
	DefaultMaxOutput int64         // tokens, for models that declare none; default 4096
	RequestTimeout   time.Duration // the whole request, all attempts included; default 10 min
	SettleTimeout    time.Duration // how long a client may wait for its settlement; default 2 s
	Linger           time.Duration // how long a stream is read on after its client has gone; default 80 ms
	ReplayTTL        time.Duration // how long an answer is kept for who asks again; default 24 h
	Clock            func() time.Time
	// Random is a number from 0 to n-1, by which credentials share calls; default
	// rand.Int64N.
	Random func(n int64) int64
}

func (o Options) withDefaults() Options {
	if o.MaxAttempts <= 0 {
		o.MaxAttempts = 3
	}
	if o.DefaultMaxOutput <= 0 {
		o.DefaultMaxOutput = 4096
	}
	if o.RequestTimeout <= 0 {
		o.RequestTimeout = 10 * time.Minute
	}
	if o.SettleTimeout <= 0 {
		o.SettleTimeout = 2 * time.Second
	}
	if o.Linger <= 0 {
		o.Linger = 80 * time.Millisecond
	}
	if o.ReplayTTL <= 0 {
		o.ReplayTTL = 24 * time.Hour
	}
	if o.Random == nil {
		o.Random = rand.Int64N
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return o
}

// Router answers chat completions and requests for embeddings. It is safe for use by many goroutines.
type Router struct {
	Parts
	o       Options
	settler *settler
	learnt  *learn.Factors
}

// New puts a router together. Close ends it.
func New(p Parts, o Options) *Router {
	o = o.withDefaults()
	return &Router{Parts: p, o: o, settler: newSettler(p.Ledger, p.Observer, o), learnt: learn.New()}
}

// Close waits until every settlement is stored, or ctx ends. Requests must
// have ended before.
func (r *Router) Close(ctx context.Context) error { return r.settler.close(ctx) }

// asked is a request whose key is known and whose body has been read.
type asked struct {
	in     Inbound
	key    *billing.Key
	req    *chat.Request
	taken  int64  // from the key's tokens per minute
	claim  *claim // where it may be sent again; else nil
	timing timing
}

// timing is what the router's own time is computed from.
type timing struct {
	start   time.Time
	outside time.Duration // spent waiting for the client or a provider
}

// Complete runs one request. Errors are those of billing, *chat.FieldError,
// *providers.Error (a request that the provider itself refused), ErrClientGone and
// the typed errors of this package; what in.Read returns is passed on.
func (r *Router) Complete(ctx context.Context, in Inbound) (*Answer, error) {
	a := asked{in: in, timing: timing{start: r.o.Clock()}}
	answer, err := r.complete(ctx, &a)
	if err != nil {
		r.forget(ctx, a.claim)
		r.observeFailure(a, err)
		return nil, err
	}
	return answer, nil
}

// complete is the list of the steps. Each takes what the one before returned.
func (r *Router) complete(ctx context.Context, a *asked) (*Answer, error) {
	var err error
	if a.key, err = r.verify(ctx, a.in.Caller); err != nil {
		return nil, err
	}
	if a.req, err = r.read(a); err != nil {
		return nil, err
	}
	rates, err := r.throttle(a)
	if err != nil {
		return nil, err
	}
	if err := r.claim(ctx, a); err != nil {
		return nil, err
	}
	held, err := r.admit(ctx, *a)
	if errors.Is(err, billing.ErrStaleKey) { // changed since it was cached: judge the request anew
		if a.key, err = r.Verifier.Refresh(ctx, a.in.Secret, a.in.At); err != nil {
			return nil, err
		}
		if a.key, err = from(a.key, a.in.Caller); err != nil {
			return nil, err
		}
		held, err = r.admit(ctx, *a)
	}
	if err != nil {
		return nil, err
	}
	sent, err := r.send(ctx, held)
	if err != nil {
		return nil, err
	}
	return r.answer(ctx, sent, rates), nil
}

// admit decides whether a request of a known key may be sent, and where, and
// holds what it may cost.
func (r *Router) admit(ctx context.Context, a asked) (held, error) {
	route, err := r.permit(a.key, a.req.Model())
	if err != nil {
		return held{}, err
	}
	planned, err := r.plan(ctx, a, route)
	if err != nil {
		return held{}, err
	}
	return r.reserve(ctx, planned)
}

// verify is the key of the caller, fit to be used from where the caller is.
func (r *Router) verify(ctx context.Context, c Caller) (*billing.Key, error) {
	key, err := r.Verifier.Verify(ctx, c.Secret, c.At)
	if err != nil {
		return nil, err
	}
	return from(key, c)
}

// from is the key, unless it may not be used from where the caller is.
func from(key *billing.Key, c Caller) (*billing.Key, error) {
	if !key.AllowsAddress(c.From) {
		return nil, billing.ErrAddress
	}
	return key, nil
}

// read is the checked body. The time it takes is the client's.
func (r *Router) read(a *asked) (*chat.Request, error) {
	began := r.o.Clock()
	body, err := a.in.Read()
	a.timing.outside += r.o.Clock().Sub(began)
	if err != nil {
		return nil, err
	}
	return a.in.Operation.Parse(body)
}
