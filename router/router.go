package router

import (
	"context"
	"hash/maphash"

	"tallyroute/router/limit"
	"tallyroute/router/tokens"
)

// Router answers chat completions and requests for embeddings. It is safe for use by many goroutines.
type Router struct {
	Parts
	o           Options
	holds       *holds
	calibration *tokens.Calibration
	strangers   strangers
	seed        maphash.Seed // of what tells bodies from one another
}

// New puts a router together. Close ends it.
func New(p Parts, o Options) *Router {
	o = o.withDefaults()
	if p.Background == nil {
		p.Background = limit.NewCalls(0, 0)
	}
	return &Router{
		Parts: p, o: o, holds: newHolds(p.Ledger, p.Observer, o), calibration: tokens.NewCalibration(),
		strangers: newStrangers(), seed: maphash.MakeSeed(),
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
