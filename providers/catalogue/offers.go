package catalogue

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
)

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
