package billing

import (
	"cmp"
	"slices"
	"sort"
	"time"
)

// PriceBook answers what a model cost at an instant. Old prices are kept. It
// is built once and then only read.
type PriceBook struct {
	prices map[priceKey][]Price // by Since, then MinInput, ascending
}

type priceKey struct{ provider, model, tier string }

// NewPriceBook builds a book of dated prices, in any order.
func NewPriceBook(prices []Price) *PriceBook {
	b := &PriceBook{prices: make(map[priceKey][]Price)}
	for _, p := range prices {
		k := priceKey{p.Provider, p.Model, cmp.Or(p.ServiceTier, TierStandard)}
		b.prices[k] = append(b.prices[k], p)
	}
	for _, list := range b.prices {
		slices.SortStableFunc(list, func(a, b Price) int {
			return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.MinInput, b.MinInput))
		})
	}
	return b
}

// At is the standard price in force at t for a prompt of any length that has no
// dearer one: the last whose Since is not after t. It reports false where no
// price is known, which is never the same as free.
func (b *PriceBook) At(provider, model string, t time.Time) (Price, bool) {
	return b.AtFor(PriceQuery{Provider: provider, Model: model, At: t})
}

// PriceQuery is what a price is asked for.
type PriceQuery struct {
	Provider, Model string
	Tier            string // TierStandard where empty
	Prompt          int64  // tokens: everything that was sent
	At              time.Time
}

// AtFor is the price in force for q: of those that began last, the one for the
// longest prompts that q's still reaches. A tier without prices of its own has
// none here; whether another may stand in for it is the caller's to say.
func (b *PriceBook) AtFor(q PriceQuery) (Price, bool) {
	set := b.inForce(q)
	i := sort.Search(len(set), func(i int) bool { return set[i].MinInput > max(q.Prompt, 0) })
	if i == 0 {
		return Price{}, false
	}
	return set[i-1], true
}

// Dearest is the price in force for q with each rate the highest that a prompt
// of up to q.Prompt tokens may meet. It reports false as AtFor does.
func (b *PriceBook) Dearest(q PriceQuery) (Price, bool) {
	p, ok := b.AtFor(q)
	if !ok {
		return p, false
	}
	for _, other := range b.inForce(q) {
		if other.MinInput <= max(q.Prompt, 0) {
			p = p.Max(other)
		}
	}
	return p, true
}

// Max is p with each rate and fee the higher of both.
func (p Price) Max(other Price) Price {
	p, other = p.Resolved(), other.Resolved()
	for _, rate := range []struct {
		to   *Money
		than Money
	}{
		{&p.Input, other.Input},
		{&p.CacheRead, other.CacheRead},
		{&p.CacheWrite, other.CacheWrite},
		{&p.Output, other.Output},
		{&p.Request, other.Request},
		{&p.CacheWrite1h, other.CacheWrite1h},
		{&p.Reasoning, other.Reasoning},
		{&p.AudioInput, other.AudioInput},
		{&p.AudioOutput, other.AudioOutput},
	} {
		*rate.to = max(*rate.to, rate.than)
	}
	return p
}

// inForce are the prices of q's model and tier that began last before q.At. They
// began together, so a change that drops a step by length leaves no old one.
func (b *PriceBook) inForce(q PriceQuery) []Price {
	list := b.prices[priceKey{q.Provider, q.Model, cmp.Or(q.Tier, TierStandard)}]
	end := sort.Search(len(list), func(i int) bool { return list[i].Since.After(q.At) })
	if end == 0 {
		return nil
	}
	since := list[end-1].Since
	begin := sort.Search(end, func(i int) bool { return !list[i].Since.Before(since) })
	return list[begin:end]
}

// All lists every price in the book, for the prices table.
func (b *PriceBook) All() []Price {
	var all []Price
	for _, list := range b.prices {
		all = append(all, list...)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].ID < all[j].ID })
	return all
}
