package billing

import (
	"cmp"
	"slices"
	"sort"
	"time"
)

// PriceBook says what a model cost at an instant. Old prices are kept. It is built once
// and is read-only afterwards.
type PriceBook struct {
	all    []Price // by ID
	sheets map[listing][]*PriceSheet
}

type listing struct{ provider, model string }

// PriceSheet is everything that one provider charges for one model from an instant
// until the next change: the prices of every tier and, within a tier, of every range of
// prompt length. A nil sheet has no prices.
type PriceSheet struct {
	since time.Time
	tiers []tierPrices
}

// tierPrices are the prices of one tier, by MinInput ascending. They all begin
// together, so that a change that drops a length step leaves no old one behind.
type tierPrices struct {
	tier   string
	prices []Price
}

// NewPriceBook builds a book from dated prices, given in any order.
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

// add adds a price that begins with the sheet. The first one of a tier replaces the
// earlier prices of that tier.
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

// At returns the sheet in force at t: the last one that began no later. It is nil where
// no price is known, which is never the same as free.
func (b *PriceBook) At(provider, model string, t time.Time) *PriceSheet {
	list := b.sheets[listing{provider, model}]
	for i := len(list) - 1; i >= 0; i-- {
		if !list[i].since.After(t) {
			return list[i]
		}
	}
	return nil
}

// All lists every price in the book, for the prices table. A price whose fees alone
// changed is listed once, as it began.
func (b *PriceBook) All() []Price { return slices.Clone(b.all) }

// ByID returns the price with an id.
func (b *PriceBook) ByID(id string) (Price, bool) {
	i, found := slices.BinarySearchFunc(b.all, id, func(p Price, id string) int { return cmp.Compare(p.ID, id) })
	if !found {
		return Price{}, false
	}
	return b.all[i], true
}

// tier returns the prices of a tier; an empty name means TierStandard.
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

// Listed returns the tier's own price for a prompt of that many tokens, counting
// everything that was sent: the price with the highest MinInput that the prompt
// reaches.
func (s *PriceSheet) Listed(tier string, prompt int64) (Price, bool) {
	prices := s.tier(tier)
	i := sort.Search(len(prices), func(i int) bool { return prices[i].MinInput > max(prompt, 0) })
	if i == 0 {
		return Price{}, false
	}
	return prices[i-1], true
}

// Charged returns the price by which a tier is judged and charged. A tier that is
// cheaper than the standard one and has no price of its own is charged at most the
// standard price; any other tier without a price has none.
func (s *PriceSheet) Charged(tier string, prompt int64) (Price, bool) {
	p, ok := s.Listed(tier, prompt)
	if !ok && (tier == TierBatch || tier == TierFlex) {
		return s.Listed(TierStandard, prompt)
	}
	return p, ok
}

// DearestTier returns the price of the tier in which t costs most, among the tiers that
// have a price.
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

// Dearest returns a price with each rate at the highest that a prompt of up to that
// many tokens may incur, in the requested tier or the standard one, since a provider
// may serve either. For a tier without a price it is the highest of all tiers. Where no
// price is known it is zero.
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

// Max returns p with each rate and fee at the higher of the two.
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
