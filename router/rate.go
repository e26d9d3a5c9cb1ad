package router

import (
	"fmt"
	"slices"
	"time"

	"tallyroute/billing"
	"tallyroute/providers/chat"
	"tallyroute/router/limit"
	"tallyroute/router/tokens"
)

// Rate is one limit per minute as x-ratelimit headers show it.
type Rate struct {
	Kind      string // "requests" or "tokens"
	Limit     int64
	Remaining int64
	Reset     time.Duration
}

// RateError is a limit on requests or tokens per minute.
type RateError struct {
	Kind       string // "requests" or "tokens"
	Limit      int64  // per minute
	Asked      int64
	RetryAfter time.Duration
	Rates      []Rate
}

// Remaining is what is left of the limit that was exceeded.
func (e *RateError) Remaining() int64 {
	if len(e.Rates) == 0 {
		return 0
	}
	return e.Rates[len(e.Rates)-1].Remaining
}

// Error gives the limit.
func (e *RateError) Error() string {
	return fmt.Sprintf("router: more than %d %s per minute", e.Limit, e.Kind)
}

// asked is what a request asks of one of its key's limits per minute.
type asked struct {
	kind         string // "requests" or "tokens"
	perMinute, n int64
}

// tokensAsked is how many tokens a request asks for. They are corrected once they
// are known.
func tokensAsked(req *chat.Request) int64 {
	return int64(len(req.Body()))/tokens.BytesPerToken + billing.SatMul(req.MaxOutput(), req.N())
}

// throttle takes what is asked from a limit, if the key has one, and adds to rates
// how that stands.
func (r *Router) throttle(rates []Rate, key billing.KeyID, l asked, now time.Time) ([]Rate, error) {
	if l.perMinute <= 0 {
		return rates, nil
	}
	got := r.Limits.Take(limit.Key{Scope: string(key), Kind: l.kind}, l.perMinute, l.n, now)
	rates = append(rates, Rate{Kind: l.kind, Limit: l.perMinute, Remaining: got.Remaining, Reset: got.ResetAfter})
	if !got.OK {
		return nil, &RateError{Kind: l.kind, Limit: l.perMinute, Asked: l.n, RetryAfter: got.RetryAfter, Rates: rates}
	}
	return rates, nil
}

// rerate corrects the tokens that were taken in advance: what was not used is
// given back, what was used beyond them is taken as far as there is any.
func (r *Router) rerate(key *billing.Key, taken, used int64) {
	perMinute := key.TokensPerMinute
	if perMinute <= 0 {
		return
	}
	k, now := limit.Key{Scope: string(key.ID), Kind: "tokens"}, r.o.Clock()
	if used <= taken {
		r.Limits.Give(k, perMinute, taken-used, now)
		return
	}
	left := r.Limits.Take(k, perMinute, 0, now).Remaining
	r.Limits.Take(k, perMinute, min(used-taken, left), now)
}

// withQuota adds the token quota to the limits per minute if there is none on
// tokens: of the budgets, the one with the least left. Clients then see it in
// the headers that they know.
func withQuota(rates []Rate, balances []billing.Balance, now time.Time) []Rate {
	if slices.ContainsFunc(rates, func(r Rate) bool { return r.Kind == "tokens" }) {
		return rates
	}
	var tightest Rate
	for _, b := range balances {
		free, ok := b.FreeTokens()
		if !ok || tightest.Kind != "" && tightest.Remaining <= free {
			continue
		}
		tightest = Rate{Kind: "tokens", Limit: *b.Budget.Tokens, Remaining: free}
		if !b.Window.End.IsZero() {
			tightest.Reset = b.Window.End.Sub(now)
		}
	}
	if tightest.Kind == "" {
		return rates
	}
	return append(rates, tightest)
}
