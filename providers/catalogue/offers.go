package catalogue

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
)

// aliasOwner owns names that stand for several models.
const aliasOwner = "tallyroute"

// list notes what is listed: models and aliases, by name.
func (b *builder) list(aliases []alias) {
	var all []providers.Listing
	for _, a := range aliases {
		if _, ok := b.routes[a.name]; ok {
			all = append(all, providers.Listing{ID: a.name, OwnedBy: aliasOwner, Created: time.Unix(0, 0).UTC()})
		}
	}
	for i, t := range b.targets {
		m := b.facts[i]
		all = append(all, providers.Listing{ID: t.Model, OwnedBy: m.Owner, Created: m.created()},
			providers.Listing{ID: cmp.Or(m.Canonical, m.ID), OwnedBy: m.Owner, Created: m.created()})
	}
	slices.SortStableFunc(all, func(a, b providers.Listing) int { return strings.Compare(a.ID, b.ID) })
	b.models = slices.CompactFunc(all, func(a, b providers.Listing) bool { return a.ID == b.ID })
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
func (c *Catalogue) Models() []providers.Listing {
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

func cheaper(known *int64, price billing.Money) *int64 {
	n := int64(price)
	return new(min(*cmp.Or(known, &n), n))
}

// Offer is one model at one provider, whether or not that takes part.
type Offer struct {
	Model
	Provider   string
	Configured bool   // its credential is there
	Own        bool   // the operator's configuration describes the provider
	Why        string // it is not configured
}

// Name is the offer as users write it: provider/model.
func (o Offer) Name() string { return o.Provider + "/" + o.ID }

// Is is the model that is offered, whatever variant of it.
func (o Offer) Is() string { return cmp.Or(o.Canonical, o.ID) }

// Price are the prices in force at t with the fees beside them: the standard one,
// then those of tiers; none where no price is known.
func (o Offer) Price(t time.Time) []billing.Price { return together(o.Dated(), t) }

// Since is when the price in force at t began, whatever the fees beside it did.
func (o Offer) Since(t time.Time) (since time.Time) {
	for _, p := range together(o.Prices, t) {
		since = p.Since
	}
	return since
}

// Offers are all models of all providers, by provider. They are known only to a
// catalogue that was built with Whole.
func (c *Catalogue) Offers() []Offer { return slices.Clone(c.offers) }

// note keeps what a provider offers.
func (b *builder) note(l *loaded, s Status) {
	for _, m := range l.Models {
		m.Fees = over(l.Fees, m.Fees)
		b.offers = append(b.offers, Offer{Model: m, Provider: l.Name, Configured: s.Configured, Own: l.reader != nil, Why: s.Why})
	}
}

// Strays are open models that go by several names: offers whose upstream names
// differ only in who hosts the model and how it is packed, but which are not
// one model here. Each group is sorted.
func Strays(offers []Offer) (groups [][]Offer) {
	byLook := make(map[string][]Offer)
	for _, o := range offers {
		if look := looks(o.Upstream); look != "" {
			byLook[look] = append(byLook[look], o)
		}
	}
	for _, group := range byLook {
		if slices.ContainsFunc(group, func(o Offer) bool { return o.Is() != group[0].Is() }) {
			slices.SortFunc(group, func(a, b Offer) int { return strings.Compare(a.Name(), b.Name()) })
			groups = append(groups, group)
		}
	}
	slices.SortFunc(groups, func(a, b []Offer) int { return strings.Compare(a[0].Name(), b[0].Name()) })
	return groups
}

// packings are what hosts add to the name of a model that is the same for it.
var packings = []string{"-fp8", "-fp4", "-nvfp4", "-bf16", "-hf", "-tee", "-maas", "-instruct", "-it"}

// looks is an upstream name without its maker and packing; "" where that says
// nothing, as of a name without a number.
func looks(upstream string) string {
	name := strings.ToLower(upstream[strings.LastIndexByte(upstream, '/')+1:])
	name = strings.ReplaceAll(strings.ReplaceAll(name, "_", "-"), ":", "-")
	for again := true; again; {
		again = false
		for _, p := range packings {
			if rest, ok := strings.CutSuffix(name, p); ok {
				name, again = rest, true
			}
		}
	}
	if strings.Trim(name, lowerLetters+"-.") == "" {
		return ""
	}
	return name
}
