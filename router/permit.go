package router

import (
	"slices"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
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
func (r *Router) permit(key *billing.Key, asked string) (route, error) {
	targets, pinned, ok := r.Catalogue.Resolve(asked)
	if !ok {
		return route{}, &ModelError{Asked: asked, Nearest: r.Catalogue.Nearest(asked, key.AllowsModel)}
	}
	if key.AllowsModel(asked) {
		return route{targets: targets, pinned: pinned}, nil
	}
	targets = slices.DeleteFunc(slices.Clone(targets), func(t providers.Target) bool {
		return !key.AllowsModel(t.Name()) && !key.AllowsModel(t.Model)
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
// limits per minute. The tokens are put right once they are known.
func (r *Router) throttle(a *asked) ([]Rate, error) {
	rates, err := r.takeRate(nil, a, "requests", a.key.RequestsPerMinute, 1)
	if err != nil {
		return nil, err
	}
	n := int64(len(a.req.Body()))/bytesPerToken + billing.SatMul(a.req.MaxOutput(), a.req.N())
	if rates, err = r.takeRate(rates, a, "tokens", a.key.TokensPerMinute, n); err != nil {
		return nil, err
	}
	a.taken = n
	return rates, nil
}

func (r *Router) takeRate(rates []Rate, a *asked, kind string, perMinute, n int64) ([]Rate, error) {
	if perMinute <= 0 {
		return rates, nil
	}
	got := r.Limits.Take(limit.Key{Scope: string(a.key.ID), Kind: kind}, perMinute, n, a.in.At)
	rates = append(rates, Rate{Kind: kind, Limit: perMinute, Remaining: got.Remaining, Reset: got.ResetAfter})
	if got.OK {
		return rates, nil
	}
	return nil, &RateError{Kind: kind, Limit: perMinute, Asked: n, RetryAfter: got.RetryAfter, Rates: rates}
}

// rerate puts the tokens that were taken beforehand right: what was not used is
// given back, what was used beyond them is taken as far as there is any.
func (r *Router) rerate(a asked, used int64) {
	perMinute := a.key.TokensPerMinute
	if perMinute <= 0 {
		return
	}
	k, now := limit.Key{Scope: string(a.key.ID), Kind: "tokens"}, r.o.Clock()
	if used <= a.taken {
		r.Limits.Give(k, perMinute, a.taken-used, now)
		return
	}
	left := r.Limits.Take(k, perMinute, 0, now).Remaining
	r.Limits.Take(k, perMinute, min(used-a.taken, left), now)
}

// withQuota adds the token quota to the limits per minute where there is none on
// tokens: of the budgets, the one with the least left. Clients then see it in
// the headers that they know.
func withQuota(rates []Rate, balances []billing.Balance, now time.Time) []Rate {
	if slices.ContainsFunc(rates, func(r Rate) bool { return r.Kind == "tokens" }) {
		return rates
	}
	var tightest *Rate
	for _, b := range balances {
		free, ok := b.FreeTokens()
		if !ok || (tightest != nil && tightest.Remaining <= free) {
			continue
		}
		tightest = &Rate{Kind: "tokens", Limit: *b.Budget.Tokens, Remaining: free}
		if !b.Window.End.IsZero() {
			tightest.Reset = b.Window.End.Sub(now)
		}
	}
	if tightest == nil {
		return rates
	}
	return append(rates, *tightest)
}
