package router

import (
	"context"
	"errors"
	"hash/maphash"
	"time"

	"tallyroute/billing"
	"tallyroute/router/limit"
	"tallyroute/router/tokens"
)

// Bounds on lookups of secrets not known to belong to a key. Secrets of known keys do not count
// towards them and are never throttled.
const (
	lookupsAtOnce    = 8  // across all networks
	unknownPerMinute = 60 // lookups per network that found no key
)

// StrangerError says that a secret is not looked up because too many secrets from its network
// were unknown.
type StrangerError struct{ RetryAfter time.Duration }

// Error returns a fixed message.
func (*StrangerError) Error() string { return "router: too many unknown keys from this network" }

// strangers bounds the cost of looking up secrets that turn out to be unknown.
type strangers struct {
	slots   chan struct{}
	unknown *limit.Store
}

func newStrangers() strangers {
	return strangers{slots: make(chan struct{}, lookupsAtOnce), unknown: limit.New()}
}

// look finds the key of a caller who may be anybody.
func (s strangers) look(ctx context.Context, v Verifier, c Caller) (*billing.Key, error) {
	if err := s.admit(c, 0); err != nil {
		return nil, err
	}
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.slots }()
	if err := s.admit(c, 0); err != nil {
		return nil, err
	}
	key, err := v.Verify(ctx, c.Secret, c.At)
	if errors.Is(err, billing.ErrUnknownKey) {
		_ = s.admit(c, 1) // the next caller gets the error
	}
	return key, err
}

// admit takes n from the number of failed lookups that the network of c is allowed.
func (s strangers) admit(c Caller, n int64) error {
	got := s.unknown.Take(limit.Key{Scope: limit.Network(c.From), Kind: "unknown"}, unknownPerMinute, n, c.At)
	if got.Remaining > 0 || n > 0 {
		return nil
	}
	return &StrangerError{RetryAfter: time.Second}
}

// Router answers chat completions and embedding requests. It is safe for concurrent use.
type Router struct {
	Parts
	o           Options
	holds       *holds
	near        *near
	crowd       *crowd
	calibration *tokens.Calibration
	strangers   strangers
	questions   *limit.Store
	seed        maphash.Seed // for the hashes that tell bodies apart
}

// New assembles a router. Close ends it.
func New(p Parts, o Options) *Router {
	o = o.withDefaults()
	if p.Background == nil {
		p.Background = limit.NewCalls(0, 0)
	}
	return &Router{
		Parts: p, o: o, holds: newHolds(p, o), near: new(near), crowd: new(crowd), calibration: tokens.NewCalibration(),
		strangers: newStrangers(), questions: limit.New(), seed: maphash.MakeSeed(),
	}
}

// With returns a router with other prices, targets and settings. The two share the requests in
// progress, what the estimates have learned and what is known about unknown callers.
func (r *Router) With(p Parts, o Options) *Router {
	next := *r
	p.Ledger, p.Observer = r.Ledger, r.Observer
	if p.Background == nil {
		p.Background = r.Background
	}
	next.Parts, next.o = p, o.withDefaults()
	return &next
}

// Close waits until every settlement is stored, or ctx ends. Call it only after all requests
// have ended.
func (r *Router) Close(ctx context.Context) error { return r.holds.close(ctx) }

// Held returns the total held for requests in progress.
func (r *Router) Held() Held { return r.holds.held() }
