package catalogue

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/providers/catalogue/published"
)

// Rate is one rate of a price, by its name in a document; for a tier's rate, the tier comes
// first: "batch prompt", "over 200000 completion".
type Rate struct {
	Name string
	Rate billing.Money // per million tokens; for "request" and other meters, per unit
}

// Rates returns all rates of prices that apply together, the standard ones first. Kinds
// without a rate of their own are left out.
func Rates(prices []billing.Price) (list []Rate) {
	for _, p := range prices {
		prefix := ""
		if p.ServiceTier != billing.TierStandard && p.ServiceTier != "" {
			prefix = p.ServiceTier + " "
		}
		if p.MinInput > 0 {
			prefix += fmt.Sprintf("over %d ", p.MinInput-1)
		}
		all := kinds(&p)
		for _, k := range all {
			if k.in == inNone || *k.rate != *all[k.in].rate {
				list = append(list, Rate{prefix + k.name, *k.rate})
			}
		}
		if p.Request > 0 && prefix == "" {
			list = append(list, Rate{"request", p.Request})
		}
	}
	return list
}

// FeesOf returns what the units of meters cost alongside prices that apply together.
func FeesOf(prices []billing.Price) (list []Rate) {
	if len(prices) == 0 {
		return nil
	}
	for _, f := range prices[0].Fees {
		list = append(list, Rate{f.Meter, f.Unit})
	}
	return list
}

// Change is a price on which a published list differs from the catalogue.
type Change struct {
	Offer    Offer
	Now, New []billing.Price // New is complete, with since, source and ID
	Left     []string        // what else the list contains that is not adopted
	Far      string          // why the change is refused unless forced; "" if it is not
}

// Renew compares an offer with what a list says about it and makes a new price of the
// differences. It takes effect at since, or now if the current price took effect at since or
// later. It returns false if there is nothing to change. A price that is not a list price
// is never replaced.
func Renew(o Offer, e published.Entry, since, now time.Time) (Change, bool) {
	c := Change{Offer: o, Now: o.Price(now), Left: e.Left}
	free := len(e.Prices) > 0 && e.Prices[0].Input == 0 && e.Prices[0].Output == 0
	if free && len(c.Now) == 0 { // lists say 0 when they know no price
		c.Left = append(slices.Clone(e.Left), "0 where no price is known")
		return c, false
	}
	if len(e.Prices) == 0 || slices.ContainsFunc(o.Prices, func(p billing.Price) bool { return p.Source != sourceCatalog }) {
		return c, false
	}
	c.New = merged(c.Now, e.Prices)
	if slices.Equal(Rates(c.Now), Rates(c.New)) {
		return c, false
	}
	if n := len(o.Prices); n > 0 && !since.After(o.Prices[n-1].Since) {
		since = now.UTC().Truncate(time.Second)
		if last := o.Prices[n-1].Since; !since.After(last) {
			since = last.Add(time.Second) // two prices of a model can't start at the same time
		}
	}
	for i := range c.New {
		p := &c.New[i]
		p.Provider, p.Model, p.Since, p.Source, p.Fees = o.Provider, o.ID, since, sourceCatalog, nil
		p.ID = priceID(*p)
	}
	c.Far = far(c.Now, c.New)
	return c, true
}

// far returns why a change is implausible; "" if it is not.
func far(now, fresh []billing.Price) string {
	if len(now) == 0 {
		return ""
	}
	if j, leaps := leapOf(now[0], fresh[0]); leaps {
		return fmt.Sprintf("%s goes from $%s to $%s, more than ×%d", j.kind, j.from.Short(), j.to.Short(), maxLeap)
	}
	for _, p := range fresh[1:] {
		if j, leaps := leapOf(fresh[0], p); leaps {
			return fmt.Sprintf("%s of a tier is $%s where the standard is $%s, more than ×%d", j.kind, j.to.Short(),
				j.from.Short(), maxLeap)
		}
	}
	return ""
}

// merged returns the list's prices. If they agree with ours on the prompt and the completion,
// whatever the list leaves out stays as it was: lists differ in the kinds and tiers that they
// cover, and a missing one does not mean that it no longer exists.
func merged(now, fresh []billing.Price) []billing.Price {
	list := slices.Clone(fresh)
	if len(now) == 0 || now[0].Input != fresh[0].Input || now[0].Output != fresh[0].Output {
		return list
	}
	for _, old := range now {
		i := slices.IndexFunc(list, func(p billing.Price) bool {
			return cmp.Or(p.ServiceTier, billing.TierStandard) == cmp.Or(old.ServiceTier, billing.TierStandard) &&
				p.MinInput == old.MinInput
		})
		if i < 0 {
			list = append(list, old)
			continue
		}
		was, is := kinds(&old), kinds(&list[i])
		for j, k := range is {
			if k.in != inNone && *k.rate == *is[k.in].rate && *was[k.in].rate == *is[k.in].rate {
				*k.rate = *was[j].rate
			}
		}
		list[i].Request = cmp.Or(list[i].Request, old.Request)
	}
	slices.SortStableFunc(list[1:], func(a, b billing.Price) int {
		return cmp.Or(cmp.Compare(a.ServiceTier, b.ServiceTier), cmp.Compare(a.MinInput, b.MinInput))
	})
	return list
}

// WritePrices writes a file of newer prices, with all prices of each offer.
func WritePrices(offers []Offer) string {
	var b strings.Builder
	b.WriteString("# Newer prices, written by tallyroute catalogue update. They are read over the\n" +
		"# built-in catalogue; what the configuration says of a model goes over them.\nproviders:\n")
	provider := ""
	for _, o := range offers {
		if o.Provider != provider {
			provider = o.Provider
			fmt.Fprintf(&b, "  %s:\n    models:\n", provider)
		}
		fmt.Fprintf(&b, "      - id: %s\n        prices:\n", o.ID)
		var before *billing.Price
		for first := 0; first < len(o.Prices); {
			last := first + 1
			for last < len(o.Prices) && o.Prices[last].Since.Equal(o.Prices[first].Since) {
				last++
			}
			writePrice(&b, o.Prices[first:last], before)
			before, first = &o.Prices[first], last
		}
	}
	return b.String()
}

// writePrice writes prices that apply together; before is the standard price that they
// replace.
func writePrice(b *strings.Builder, tiers []billing.Price, before *billing.Price) {
	base := tiers[0]
	since := base.Since.UTC().Format(time.RFC3339)
	since = strings.TrimSuffix(since, "T00:00:00Z")
	fmt.Fprintf(b, "          - since: %s\n            source: %s\n", since, base.Source)
	if before != nil {
		if _, leaps := leapOf(*before, base); leaps {
			b.WriteString("            force: true\n")
		}
	}
	for _, r := range Rates(tiers[:1]) {
		fmt.Fprintf(b, "            %s: %q\n", r.Name, r.Rate.Short())
	}
	if len(tiers) == 1 {
		return
	}
	b.WriteString("            tiers:\n")
	for _, p := range tiers[1:] {
		sep := "              - {"
		if p.ServiceTier != billing.TierStandard {
			b.WriteString(sep + "service: " + p.ServiceTier)
			sep = ", "
		}
		if p.MinInput > 0 {
			fmt.Fprintf(b, "%sover: %d", sep, p.MinInput-1)
		}
		all := kinds(&p)
		for i, k := range all {
			if k.in == inNone || *k.rate != max(*all[k.in].rate, surcharged(&base, i)) {
				fmt.Fprintf(b, ", %s: %q", k.name, k.rate.Short())
			}
		}
		b.WriteString("}\n")
	}
}
