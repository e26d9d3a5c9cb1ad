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
	all    []Price // by ID
	sheets map[listing][]*PriceSheet
}

type listing struct{ provider, model string }

// PriceSheet is all that one provider asks for one model from one instant until
// the next change: the prices of every tier and, in each, of every length of
// prompt. A nil sheet knows no price.
type PriceSheet struct {
	since time.Time
	tiers []tierPrices
}

// tierPrices are the prices of one tier, by MinInput ascending. They began
// together, so a change that drops a step by length leaves no old one.
type tierPrices struct {
	tier   string
	prices []Price
}

// NewPriceBook builds a book of dated prices, in any order.
func NewPriceBook(prices []Price) *PriceBook {
	b := &PriceBook{all: slices.Clone(prices), sheets: make(map[listing][]*PriceSheet)}
	slices.SortStableFunc(b.all, func(a, b Price) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.MinInput, b.MinInput))
	})
	for _, p := range b.all {
		k := listing{p.Provider, p.Model}
		list := b.sheets[k]
		if n := len(list); n == 0 {
			list = append(list, &PriceSheet{since: p.Since})
		} else if !list[n-1].since.Equal(p.Since) {
			list = append(list, &PriceSheet{since: p.Since, tiers: slices.Clone(list[n-1].tiers)})
		}
		list[len(list)-1].add(p)
		b.sheets[k] = list
	}
	slices.SortStableFunc(b.all, func(a, b Price) int { return cmp.Compare(a.ID, b.ID) })
	b.all = slices.CompactFunc(b.all, func(a, b Price) bool { return a.ID == b.ID && a.ID != "" })
	return b
}

// add takes in a price that begins with the sheet. The first one of a tier takes
// the place of those that the tier had before.
func (s *PriceSheet) add(p Price) {
	tier := cmp.Or(p.ServiceTier, TierStandard)
	i := slices.IndexFunc(s.tiers, func(t tierPrices) bool { return t.tier == tier })
	switch {
	case i < 0:
		s.tiers = append(s.tiers, tierPrices{tier, []Price{p}})
	case s.tiers[i].prices[0].Since.Equal(p.Since):
		s.tiers[i].prices = append(s.tiers[i].prices, p)
	default:
		s.tiers[i].prices = []Price{p}
	}
}

// At is the sheet in force at t: the last that began no later. It is nil where no
// price is known, which is never the same as free.
func (b *PriceBook) At(provider, model string, t time.Time) *PriceSheet {
	list := b.sheets[listing{provider, model}]
	for i := len(list) - 1; i >= 0; i-- {
		if !list[i].since.After(t) {
			return list[i]
		}
	}
	return nil
}

// All lists every price in the book, for the prices table. One that went on with
// other fees is there once, as it began.
func (b *PriceBook) All() []Price { return slices.Clone(b.all) }

// ByID is the price with an id.
func (b *PriceBook) ByID(id string) (Price, bool) {
	i, found := slices.BinarySearchFunc(b.all, id, func(p Price, id string) int { return cmp.Compare(p.ID, id) })
	if !found {
		return Price{}, false
	}
	return b.all[i], true
}

// tier are the prices of a tier, of TierStandard where it has no name.
func (s *PriceSheet) tier(name string) []Price {
	if s == nil {
		return nil
	}
	name = cmp.Or(name, TierStandard)
	for _, t := range s.tiers {
		if t.tier == name {
			return t.prices
		}
	}
	return nil
}

// Listed is the tier's own price for a prompt of that many tokens, with
// everything that was sent: the one for the longest prompts that it reaches.
func (s *PriceSheet) Listed(tier string, prompt int64) (Price, bool) {
	prices := s.tier(tier)
	i := sort.Search(len(prices), func(i int) bool { return prices[i].MinInput > max(prompt, 0) })
	if i == 0 {
		return Price{}, false
	}
	return prices[i-1], true
}

// Charged is the price by which a tier is judged and charged. A tier that is cheaper
// than the standard one and has no price costs no more than that; another tier
// without a price has none.
func (s *PriceSheet) Charged(tier string, prompt int64) (Price, bool) {
	p, ok := s.Listed(tier, prompt)
	if !ok && (tier == TierBatch || tier == TierFlex) {
		return s.Listed(TierStandard, prompt)
	}
	return p, ok
}

// DearestTier is the price of the tier in which t costs most, of those that have one.
func (s *PriceSheet) DearestTier(t Tokens) (most Price, ok bool) {
	if s == nil {
		return Price{}, false
	}
	for _, tier := range s.tiers {
		if p, listed := s.Listed(tier.tier, t.Prompt()); listed && (!ok || p.Cost(t).Total > most.Cost(t).Total) {
			most, ok = p, true
		}
	}
	return most, ok
}

// Dearest has each rate at the highest that a prompt of up to that many tokens
// may meet, in the tier that was asked for or in the standard one, since a
// provider may serve either. In a tier without a price it is the highest of all tiers.
// Where no price is known it is zero.
func (s *PriceSheet) Dearest(tier string, prompt int64) Price {
	p, listed := s.Charged(tier, prompt)
	if !listed && s != nil {
		for _, t := range s.tiers {
			p = s.dearer(p, t.tier, prompt)
		}
		return p
	}
	p = s.dearer(p, tier, prompt)
	if cmp.Or(tier, TierStandard) != TierStandard {
		p = s.dearer(p, TierStandard, prompt)
	}
	return p
}

func (s *PriceSheet) dearer(p Price, tier string, prompt int64) Price {
	for _, other := range s.tier(tier) {
		if other.MinInput <= max(prompt, 0) {
			p = p.Max(other)
		}
	}
	return p
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
	p.Fees = dearerFees(p.Fees, other.Fees)
	return p
}
