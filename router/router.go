package router

import (
	"context"
	"errors"
	"hash/maphash"
	"time"

	"tallyroute/billing"
	"tallyroute/router/limit"
	"tallyroute/router/part"
	"tallyroute/router/tokens"
)

// Bounds of the look-ups of secrets that no key is known to have. Those of known keys
// cost none, and are never throttled.
const (
	lookupsAtOnce    = 8  // of all networks
	unknownPerMinute = 60 // found to be nobody's, of one network
)

// StrangerError refuses a secret that is not looked up: too many from its network
// were nobody's.
type StrangerError struct{ RetryAfter time.Duration }

// Error says so.
func (*StrangerError) Error() string { return "router: too many unknown keys from this network" }

// strangers bounds what secrets cost that turn out to be nobody's.
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
		_ = s.admit(c, 1) // whoever asks next is told
	}
	return key, err
}

// admit takes n from what the network of c may ask for in vain.
func (s strangers) admit(c Caller, n int64) error {
	got := s.unknown.Take(limit.Key{Scope: limit.Network(c.From), Kind: "unknown"}, unknownPerMinute, n, c.At)
	if got.Remaining > 0 || n > 0 {
		return nil
	}
	return &StrangerError{RetryAfter: time.Second}
}

// Router answers chat completions and requests for embeddings. It is safe for use by many goroutines.
type Router struct {
	Parts
	o           Options
	holds       *holds
	near        *near
	crowd       *part.Crowd
	calibration *tokens.Calibration
	strangers   strangers
	questions   *limit.Store
	seed        maphash.Seed // of what tells bodies from one another
}

// New puts a router together. Close ends it.
func New(p Parts, o Options) *Router {
	o = o.withDefaults()
	if p.Background == nil {
		p.Background = limit.NewCalls(0, 0)
	}
	return &Router{
		Parts: p, o: o, holds: newHolds(p, o), near: new(near), crowd: new(part.Crowd), calibration: tokens.NewCalibration(),
		strangers: newStrangers(), questions: limit.New(), seed: maphash.MakeSeed(),
	}
}

// With is a router with other prices, targets and settings. What is under way, what
// estimates have learned and what is known of strangers is shared by both.
func (r *Router) With(p Parts, o Options) *Router {
	next := *r
	p.Ledger, p.Observer = r.Ledger, r.Observer
	if p.Background == nil {
		p.Background = r.Background
	}
	next.Parts, next.o = p, o.withDefaults()
	return &next
}

// Close waits until every settlement is stored, or ctx ends. Requests must
// have ended before.
func (r *Router) Close(ctx context.Context) error { return r.holds.close(ctx) }

// Held is what is held for requests under way.
func (r *Router) Held() Held { return r.holds.held() }
