package catalogue

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
)

// Listing is one name that can be asked for, as GET /v1/models lists it.
type Listing struct {
	ID            string
	Created       time.Time
	OwnedBy       string
	ContextLength int64 // the longest
	MaxOutput     int64 // the most
	Providers     []string
	// Prompt and Completion are the cheapest known prices in nano-dollars per
	// million tokens; nil where none is known.
	Prompt, Completion *billing.Money
}

// aliasOwner owns names that stand for several models.
const aliasOwner = "tallyroute"

// list notes what is listed: models and aliases, by name.
func (b *builder) list(aliases []alias) {
	var all []Listing
	for _, a := range aliases {
		if _, ok := b.routes[a.name]; ok {
			all = append(all, Listing{ID: a.name, OwnedBy: aliasOwner, Created: time.Unix(0, 0).UTC()})
		}
	}
	for i, t := range b.targets {
		m := b.facts[i]
		all = append(all, Listing{ID: t.Model, OwnedBy: m.Owner, Created: m.created()},
			Listing{ID: cmp.Or(m.Canonical, m.ID), OwnedBy: m.Owner, Created: m.created()})
	}
	slices.SortStableFunc(all, func(a, b Listing) int { return strings.Compare(a.ID, b.ID) })
	b.models = slices.CompactFunc(all, func(a, b Listing) bool { return a.ID == b.ID })
	b.book = billing.NewPriceBook(b.prices)
}

// created is when the model came out, as far as it is known.
func (m Model) created() time.Time {
	t := m.Created
	if t.IsZero() && len(m.Prices) > 0 {
		t = m.Prices[0].Since
	}
	if t.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return t
}

// Models lists every model and alias that can be asked for, with what is the
// best of all its providers now.
func (c *Catalogue) Models() []Listing {
	now := c.now()
	list := slices.Clone(c.models)
	for i := range list {
		l := &list[i]
		for _, t := range c.routes[l.ID].targets {
			l.ContextLength = max(l.ContextLength, t.Context)
			l.MaxOutput = max(l.MaxOutput, t.MaxOutput)
			l.Providers = append(l.Providers, t.Provider)
			if p, ok := c.book.At(t.Provider, t.Model, now).Listed(billing.TierStandard, 0); ok {
				l.Prompt, l.Completion = cheaper(l.Prompt, p.Input), cheaper(l.Completion, p.Output)
			}
		}
		slices.Sort(l.Providers)
		l.Providers = slices.Compact(l.Providers)
	}
	return list
}

func cheaper(known *billing.Money, price billing.Money) *billing.Money {
	return new(min(*cmp.Or(known, &price), price))
}
