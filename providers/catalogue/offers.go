package catalogue

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
)

// aliasOwner is the owner of names that stand for several models.
const aliasOwner = "tallyroute"

// list records what is listed: models and aliases, by name.
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

// created returns when the model was released, as far as that is known.
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

// Models lists every model and alias that can be requested, with the best values among all
// its providers at present.
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

// Offer is one model at one provider, whether or not the provider takes part.
type Offer struct {
	Model
	Provider   string
	Configured bool   // its credential is available
	Own        bool   // the operator's configuration describes the provider
	Why        string // why it is not configured
}

// Name returns the offer as users write it: provider/model.
func (o Offer) Name() string { return o.Provider + "/" + o.ID }

// Is returns the model that is offered, regardless of the variant.
func (o Offer) Is() string { return cmp.Or(o.Canonical, o.ID) }

// Price returns the prices in force at t with the fees alongside them: the standard price
// first, then those of its tiers; none if no price is known.
func (o Offer) Price(t time.Time) []billing.Price { return together(o.Dated(), t) }

// Since returns when the price in force at t took effect, regardless of changes in fees.
func (o Offer) Since(t time.Time) (since time.Time) {
	for _, p := range together(o.Prices, t) {
		since = p.Since
	}
	return since
}

// Offers returns all models of all providers, by provider. They are known only in a
// catalogue that was built with Whole.
func (c *Catalogue) Offers() []Offer { return slices.Clone(c.offers) }

// note records what a provider offers.
func (b *builder) note(l *loaded, s Status) {
	for _, m := range l.Models {
		m.Fees = over(l.Fees, m.Fees)
		b.offers = append(b.offers, Offer{Model: m, Provider: l.Name, Configured: s.Configured, Own: l.reader != nil, Why: s.Why})
	}
}

// Strays finds open models with more than one name: offers whose upstream names differ only
// in host and packaging, but which the catalogue treats as different models. Each group is
// sorted.
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

// packings are suffixes that hosts add to the name of the same model.
var packings = []string{"-fp8", "-fp4", "-nvfp4", "-bf16", "-hf", "-tee", "-maas", "-instruct", "-it"}

// looks returns an upstream name without its maker and packaging; "" if the rest is not
// distinctive, as with names without a number.
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
