package router

import (
	"context"
	"errors"
	"math"
	"math/bits"
	"time"

	"tallyroute/billing"
)

// headroom is how many times the bound of a prompt must remain free besides
// the hold for the bound to be good enough. Nearer to its limit a request is
// counted exactly before it is judged.
const headroom = 20

// refits is how often a hold is cut down to what still fits before the refusal
// is final. Only requests that race for the same last tokens need more than one.
const refits = 4

// holdGrace is how long a hold outlives the longest request, so that it is
// never swept while its request may still settle.
const holdGrace = time.Minute

// held is a planned request whose cost is reserved.
type held struct {
	planned
	candidates []Candidate // those that may be tried, in order
	hold       billing.Hold
	balances   []billing.Balance
	lowered    int64 // the output bound of one choice, where it was lowered to fit a budget; else 0
}

// maxOutput is the output bound to send to c; 0 leaves the client's own.
func (h held) maxOutput(c Candidate) int64 {
	most := c.MaxOutput
	if h.lowered > 0 {
		most = min(most, h.lowered)
	}
	if most == h.req.MaxOutput() {
		return 0
	}
	return most
}

// reserve takes the hold: first on the cheap bound of the prompt, where there
// is plenty of room; then on the exact count; then, for a client that set no
// output bound of its own, on as much output as still fits.
func (r *Router) reserve(ctx context.Context, p planned) (held, error) {
	h, err := r.take(ctx, p, 0)
	var quota *billing.QuotaError
	if !errors.As(err, &quota) {
		return h, err
	}
	if !p.last {
		if p, err = r.planExactly(ctx, p); err != nil {
			return held{}, err
		}
		h, err = r.take(ctx, p, 0)
	}
	for range refits {
		if !errors.As(err, &quota) || p.req.MaxOutput() > 0 || !p.in.Operation.HasOutput() {
			break
		}
		fits := r.fits(p, quota)
		if fits < 1 {
			break
		}
		h, err = r.take(ctx, p, fits)
	}
	return h, err
}

// take reserves what the dearest of the candidates may cost. lowered bounds the
// output of one choice further; 0 does not.
func (r *Router) take(ctx context.Context, p planned, lowered int64) (held, error) {
	h := held{planned: p, candidates: p.usable(r.o.MaxAttempts), lowered: lowered}
	lines, err := lines(p.key, p.in.At)
	if err != nil {
		return held{}, err
	}
	h.hold = billing.Hold{
		ID: p.in.RequestID, KeyID: p.key.ID, KeyVersion: p.key.Version, Lines: lines,
		ExpiresAt: p.in.At.Add(r.o.RequestTimeout + holdGrace),
	}
	for _, c := range h.candidates {
		t, price := h.most(c), dearest(p, c)
		h.hold.Tokens = max(h.hold.Tokens, t.Total())
		h.hold.Money = max(h.hold.Money, price.Cost(t).Total)
		if !c.Exact {
			h.hold.HeadroomTokens = max(h.hold.HeadroomTokens, billing.SatMul(c.Prompt, headroom))
			h.hold.HeadroomMoney = max(h.hold.HeadroomMoney, price.Cost(billing.Tokens{Input: billing.SatMul(c.Prompt, headroom)}).Total)
		}
	}
	if p.last {
		h.hold.HeadroomTokens, h.hold.HeadroomMoney = 0, 0
	}
	h.hold.IfLost = r.lost(h, h.candidates[0], 1)
	if h.balances, err = r.Ledger.Reserve(ctx, h.hold, p.in.At); err != nil {
		return held{}, err
	}
	return h, nil
}

// most is the most that c may use for this request.
func (h held) most(c Candidate) billing.Tokens {
	out := c.MaxOutput
	if h.lowered > 0 {
		out = min(out, h.lowered)
	}
	return billing.Tokens{Input: c.Hold, Output: billing.SatMul(out, h.req.N())}
}

// fits is how many tokens of output one choice may have within what is free of
// every budget that was asked, whichever candidate serves it.
func (r *Router) fits(p planned, q *billing.QuotaError) int64 {
	most := int64(math.MaxInt64)
	for _, c := range p.usable(r.o.MaxAttempts) {
		price := dearest(p, c)
		prompt := price.Cost(billing.Tokens{Input: c.Hold}).Total
		for _, b := range q.All {
			if free, ok := b.FreeTokens(); ok {
				most = min(most, free-c.Hold)
			}
			if free, ok := b.FreeMoney(); ok && price.Output > 0 {
				most = min(most, affordable(free-prompt, price.Output))
			} else if ok && free < prompt {
				return 0
			}
		}
	}
	if most <= 0 || most == math.MaxInt64 {
		return 0
	}
	return most / p.req.N()
}

// affordable is how many tokens an amount buys at a rate per million, with one
// token to spare for the rounding of the meter.
func affordable(amount, rate billing.Money) int64 {
	if amount <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(amount), 1_000_000)
	if hi >= uint64(rate) {
		return math.MaxInt64
	}
	n, _ := bits.Div64(hi, lo, uint64(rate))
	if n > math.MaxInt64 {
		return math.MaxInt64
	}
	return max(0, int64(n)-1)
}

// lines are the budgets of the key in the windows that now falls in.
func lines(k *billing.Key, now time.Time) ([]billing.HoldLine, error) {
	list := make([]billing.HoldLine, len(k.Budgets))
	for i, b := range k.Budgets {
		w, err := b.Window(now)
		if err != nil {
			return nil, err
		}
		list[i] = billing.HoldLine{Budget: b, Window: w}
	}
	return list, nil
}
