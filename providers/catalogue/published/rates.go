package published

import (
	"encoding/json"
	"math"
	"math/big"
	"slices"

	"tallyroute/billing"
)

// Factors that convert a number to nano-dollars per million tokens, or per request.
const (
	perToken    int64 = 1_000_000_000_000_000
	perMillion  int64 = 1_000_000_000
	perThousand int64 = 1_000_000 // requests
)

// amount converts a number of dollars, rounding to the nearest unit; it returns false if the
// value is missing or can't be a price. Prices that were computed with floats are off in
// their last digits, which the rounding removes.
func amount(v any, unit int64) (billing.Money, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	if len(n) > 64 {
		return 0, false
	}
	f, err := n.Float64()
	if err != nil || f < 0 || f > 1e6 || (f != 0 && f < 1e-15) {
		return 0, false
	}
	r, ok := new(big.Rat).SetString(string(n))
	if !ok {
		return 0, false
	}
	r.Mul(r, new(big.Rat).SetInt64(unit))
	r.Add(r, big.NewRat(1, 2))
	q := new(big.Int).Quo(r.Num(), r.Denom())
	if !q.IsInt64() || q.Int64() == math.MaxInt64 {
		return 0, false
	}
	return billing.Money(q.Int64()), true
}

// tier says when a price applies.
type tier struct {
	service string
	over    int64
}

// rates collects a model's rates by tier.
type rates struct {
	tiers map[tier]map[string]billing.Money // by the kind's name in a document
	left  []string
	fee   billing.Money
}

func newRates() *rates { return &rates{tiers: make(map[tier]map[string]billing.Money)} }

func (r *rates) set(t tier, kind string, m billing.Money) {
	if r.tiers[t] == nil {
		r.tiers[t] = make(map[string]billing.Money)
	}
	r.tiers[t][kind] = m
}

// leave records the name of a price that is not adopted.
func (r *rates) leave(name string) {
	if !slices.Contains(r.left, name) {
		r.left = append(r.left, name)
	}
}

// parent maps a kind to the kind that contains it.
var parent = map[string]string{
	"cache_read": "prompt", "cache_write": "prompt", "cache_write_1h": "cache_write",
	"reasoning": "completion", "audio_prompt": "prompt", "audio_completion": "completion",
}

// prices builds prices from the tiers that have all that a price needs.
func (r *rates) prices() (list []billing.Price, left []string) {
	standard := tier{service: billing.TierStandard}
	base, ok := r.price(standard)
	if !ok {
		slices.Sort(r.left)
		return nil, r.left
	}
	list = append(list, base)
	var others []tier
	for t := range r.tiers {
		if t != standard {
			others = append(others, t)
		}
	}
	slices.SortFunc(others, func(a, b tier) int {
		if a.service != b.service {
			return slices.Index(services, a.service) - slices.Index(services, b.service)
		}
		return int(min(max(a.over-b.over, -1), 1))
	})
	short := map[string]bool{billing.TierStandard: true} // services that price short prompts
	for _, t := range others {
		p, ok := r.price(t)
		if !ok || t.over > 0 && !short[t.service] {
			r.leave(t.service + " tier without a whole price")
			continue
		}
		short[t.service] = true
		list = append(list, p)
	}
	slices.Sort(r.left)
	return list, r.left
}

var services = []string{billing.TierStandard, billing.TierBatch, billing.TierFlex, billing.TierPriority}

// surcharged returns the least that a kind costs in a tier that does not list it: its standard
// rate, if that is higher than the rate of the kind that contains it.
func (r *rates) surcharged(kind string) billing.Money {
	standard := r.tiers[tier{service: billing.TierStandard}]
	if standard[kind] <= standard[parent[kind]] {
		return 0
	}
	return standard[kind]
}

// price returns the price of one tier, and false if the prompt or the completion is missing.
// A kind that is free although its parent is not is recorded as a gap in the list.
func (r *rates) price(t tier) (billing.Price, bool) {
	kinds := r.tiers[t]
	prompt, ok := kinds["prompt"]
	completion, also := kinds["completion"]
	if !ok || !also {
		return billing.Price{}, false
	}
	rate := func(kind string) billing.Money {
		m, given := kinds[kind]
		if !given {
			return r.surcharged(kind)
		}
		if m == 0 {
			whole := kinds[parent[kind]]
			if kind == "cache_write_1h" && whole == 0 {
				whole = prompt
			}
			if whole > 0 {
				r.leave(kind + " of nothing")
			}
		}
		return m
	}
	p := billing.Price{
		Input: prompt, Output: completion, Request: r.fee, ServiceTier: t.service,
		CacheRead: rate("cache_read"), CacheWrite: rate("cache_write"), CacheWrite1h: rate("cache_write_1h"),
		Reasoning: rate("reasoning"), AudioInput: rate("audio_prompt"), AudioOutput: rate("audio_completion"),
	}
	if t.over > 0 {
		p.MinInput = t.over + 1
	}
	if p.CacheRead == 0 {
		p.CacheRead = p.Input
	}
	if p.CacheWrite == 0 {
		p.CacheWrite = p.Input
	}
	p = p.Resolved()
	for _, k := range []struct {
		kind      string
		at, whole *billing.Money
	}{
		{"cache_read", &p.CacheRead, &p.Input},
		{"cache_write", &p.CacheWrite, &p.Input},
		{"cache_write_1h", &p.CacheWrite1h, &p.CacheWrite},
		{"reasoning", &p.Reasoning, &p.Output},
		{"audio_prompt", &p.AudioInput, &p.Input},
		{"audio_completion", &p.AudioOutput, &p.Output},
	} {
		if _, given := kinds[k.kind]; !given {
			*k.at = max(*k.at, *k.whole)
		}
	}
	return p, true
}
