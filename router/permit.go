package router

import (
	"errors"
	"slices"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/limit"
)

// route is where a request may go.
type route struct {
	targets []providers.Target
	pinned  bool
}

// permit finds the targets of the model that was asked for and keeps those
// that the key may use: all of them where the key may use the name that was
// asked for, else those whose own name or model it may use.
func (r *Router) permit(key *billing.Key, req *chat.Request, c Caller) (route, error) {
	asked := req.Model()
	targets, pinned, ok := r.Catalogue.Resolve(asked)
	if !ok {
		return route{}, &ModelError{Asked: asked, Nearest: r.Catalogue.Nearest(asked, func(name string) bool {
			return key.Permit(name, c.From, c.At) == nil
		})}
	}
	err := key.Permit(asked, c.From, c.At)
	if err == nil {
		return route{targets: targets, pinned: pinned}, nil
	}
	if !errors.Is(err, billing.ErrModel) {
		return route{}, err
	}
	targets = slices.DeleteFunc(slices.Clone(targets), func(t providers.Target) bool {
		return key.Permit(t.Name(), c.From, c.At) != nil && key.Permit(t.Model, c.From, c.At) != nil
	})
	if len(targets) == 0 {
		return route{}, &ForbiddenModelError{Asked: asked, Allowed: key.Models}
	}
	return route{targets: targets, pinned: pinned}, nil
}

// Rate is one limit per minute as x-ratelimit headers show it.
type Rate struct {
	Kind      string // "requests" or "tokens"
	Limit     int64
	Remaining int64
	Reset     time.Duration
}

// bytesPerToken is the usual length of a token in English text. It serves
// where an estimate may be off either way: rate limits, not quotas.
const bytesPerToken = 4

// throttle takes one request, and the tokens that it asks for, from the key's
// limits per minute.
func (r *Router) throttle(key *billing.Key, req *chat.Request, now time.Time) ([]Rate, error) {
	var rates []Rate
	take := func(kind string, perMinute, n int64) error {
		if perMinute <= 0 {
			return nil
		}
		res := r.Limits.Take(limit.Key{Scope: string(key.ID), Kind: kind}, perMinute, n, now)
		rates = append(rates, Rate{Kind: kind, Limit: perMinute, Remaining: res.Remaining, Reset: res.ResetAfter})
		if res.OK {
			return nil
		}
		return &RateError{Kind: kind, Limit: perMinute, Asked: n, RetryAfter: res.RetryAfter, Rates: rates}
	}
	if err := take("requests", key.RequestsPerMinute, 1); err != nil {
		return rates, err
	}
	tokens := int64(len(req.Body()))/bytesPerToken + req.MaxOutput()*req.N()
	return rates, take("tokens", key.TokensPerMinute, tokens)
}
