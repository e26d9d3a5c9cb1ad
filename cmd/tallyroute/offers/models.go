package offers

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/providers"
	"tallyroute/providers/catalogue"
)

// Models is "tallyroute models": who serves a model, and at what price.
type Models struct {
	cli.Format
	Name       string `arg:"" optional:"" help:"A model, a provider's model or a part of a name. Default: all models, each on one line."`
	Configured bool   `help:"Only providers with a credential."`
}

// offerView is one model at one provider in JSON. Money is text, so that no parser rounds
// it.
type offerView struct {
	Model      string   `json:"model"`
	Target     string   `json:"target"`
	Upstream   string   `json:"upstream"`
	Owner      string   `json:"owned_by"`
	Context    int64    `json:"context"`
	MaxOutput  int64    `json:"max_output"`
	Can        []string `json:"can"`
	Configured bool     `json:"configured"`
	// Rates are dollars per million tokens by kind and tier; null if the price is unknown,
	// which doesn't mean free.
	Rates map[string]string `json:"usd_per_million_tokens"`
	// Fees are dollars per unit of whatever is charged besides tokens.
	Fees  map[string]string `json:"usd_per_unit,omitempty"`
	Since *string           `json:"since"`
}

// Run lists the offers of one model, cheapest first, or all models.
func (c Models) Run(a *cli.Context) error {
	whole, _, err := a.StoredCatalogue()
	if err != nil {
		return err
	}
	now := time.Now()
	offers := slices.DeleteFunc(whole.Offers(), func(o catalogue.Offer) bool { return c.Configured && !o.Configured })
	if c.Name == "" {
		return summary(offers, now).Write(a.Stdout, c.Output)
	}
	found := called(offers, c.Name)
	if len(found) == 0 {
		return fmt.Errorf("%w%s", &billing.NotFoundError{What: "model", ID: c.Name}, hint(whole, c.Name))
	}
	return offersTable(found, now).Write(a.Stdout, c.Output)
}

func hint(c *catalogue.Catalogue, name string) string {
	if near := c.Nearest(name, func(string) bool { return true }); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

// called returns the offers of the model called name or, if there is none, of those whose
// names contain it.
func called(offers []catalogue.Offer, name string) []catalogue.Offer {
	var exact, near []catalogue.Offer
	for _, o := range offers {
		switch {
		case o.Is() == name || o.ID == name || o.Name() == name || o.Upstream == name:
			exact = append(exact, o)
		case strings.Contains(o.Name(), strings.ToLower(name)):
			near = append(near, o)
		}
	}
	if len(exact) > 0 {
		return exact
	}
	return near
}

// sample is the usage for which offers are compared, the same that the router assumes if it
// knows no better.
var sample = billing.Tokens{Input: 1000, Output: 500}

// compareOffers puts cheaper offers first and those without a price last.
func compareOffers(now time.Time) func(a, b catalogue.Offer) int {
	rank := func(o catalogue.Offer) (int, billing.Money) {
		if p := o.Price(now); len(p) > 0 {
			return 0, p[0].Cost(sample).Total
		}
		return 1, 0
	}
	return func(a, b catalogue.Offer) int {
		ra, ca := rank(a)
		rb, cb := rank(b)
		return cmp.Or(cmp.Compare(ra, rb), cmp.Compare(ca, cb), strings.Compare(a.Name(), b.Name()))
	}
}

func offersTable(offers []catalogue.Offer, now time.Time) *cli.Table {
	slices.SortStableFunc(offers, compareOffers(now))
	t := &cli.Table{Header: []string{
		"MODEL", "TARGET", "USD/M IN", "USD/M CACHED", "USD/M OUT", "OTHER RATES", "SINCE", "CONTEXT", "OUTPUT",
		"CAN", "CREDENTIAL",
	}}
	views := []offerView{}
	for _, o := range offers {
		prices := o.Price(now)
		in, cached, out, others, since := cli.Text("unpriced"), cli.Text("-"), cli.Text("-"), "", "-"
		if len(prices) > 0 {
			p := prices[0]
			in, cached, out, since = cli.Dollars(p.Input), cli.Dollars(p.CacheRead), cli.Dollars(p.Output), cli.Day(o.Since(now))
			others = otherRates(prices)
		}
		credential := "missing"
		if o.Configured {
			credential = "there"
		}
		t.Add(cli.Text(o.Is()), cli.Text(o.Name()), in, cached, out, cli.Text(others), cli.Text(since), cli.Number(o.Context),
			cli.Number(o.MaxOutput),
			cli.Text(strings.Join(abilities(o.Can), " ")), cli.Text(credential))
		views = append(views, viewOffer(o, prices, now))
	}
	t.Records = views
	return t
}

// otherRates lists the rates that have no column of their own, on one line.
func otherRates(prices []billing.Price) string {
	var words []string
	for _, r := range catalogue.Rates(prices) {
		if r.Name != "prompt" && r.Name != "completion" && r.Name != "cache_read" {
			words = append(words, r.Name+" "+r.Rate.Short())
		}
	}
	for _, f := range catalogue.FeesOf(prices) {
		words = append(words, f.Name+" "+f.Rate.Short()+" each")
	}
	return strings.Join(words, ", ")
}

func viewOffer(o catalogue.Offer, prices []billing.Price, now time.Time) offerView {
	v := offerView{
		Model: o.Is(), Target: o.Name(), Upstream: o.Upstream, Owner: o.Owner, Context: o.Context, MaxOutput: o.MaxOutput,
		Can: abilities(o.Can), Configured: o.Configured,
	}
	if len(prices) == 0 {
		return v
	}
	v.Rates = make(map[string]string)
	for _, r := range catalogue.Rates(prices) {
		v.Rates[r.Name] = r.Rate.Short()
	}
	for _, f := range catalogue.FeesOf(prices) {
		if v.Fees == nil {
			v.Fees = make(map[string]string)
		}
		v.Fees[f.Name] = f.Rate.Short()
	}
	v.Since = new(o.Since(now).UTC().Format(time.RFC3339))
	return v
}

// abilities returns what a model can do, in the catalogue's terms.
func abilities(can providers.Abilities) []string {
	list := []string{}
	for _, x := range []struct {
		name string
		can  bool
	}{
		{"tools", can.Tools},
		{"vision", can.Vision},
		{"documents", can.Documents},
		{"audio", can.Audio},
		{"json_schema", can.JSONSchema},
		{"reasoning", can.Reasoning},
		{can.Operation.String(), can.Operation != providers.Chat},
	} {
		if x.can {
			list = append(list, x.name)
		}
	}
	return list
}

// modelView is a model and everyone who serves it.
type modelView struct {
	Model     string   `json:"model"`
	Providers []string `json:"providers"` // cheapest first
	InputUSD  *string  `json:"usd_per_million_input_tokens"`
	OutputUSD *string  `json:"usd_per_million_output_tokens"`
	Context   int64    `json:"context"`
}

// summary has one line per model, with the cheapest provider that serves it.
func summary(offers []catalogue.Offer, now time.Time) *cli.Table {
	byModel := make(map[string][]catalogue.Offer)
	for _, o := range offers {
		byModel[o.Is()] = append(byModel[o.Is()], o)
	}
	t := &cli.Table{Header: []string{"MODEL", "USD/M IN", "USD/M OUT", "CONTEXT", "PROVIDERS, THE CHEAPEST FIRST"}}
	views := []modelView{}
	for _, name := range slices.Sorted(maps.Keys(byModel)) {
		list := byModel[name]
		slices.SortStableFunc(list, compareOffers(now))
		v := modelView{Model: name}
		in, out := cli.Text("unpriced"), cli.Text("-")
		if p := list[0].Price(now); len(p) > 0 {
			in, out = cli.Dollars(p[0].Input), cli.Dollars(p[0].Output)
			v.InputUSD, v.OutputUSD = new(p[0].Input.Short()), new(p[0].Output.Short())
		}
		for _, o := range list {
			v.Context = max(v.Context, o.Context)
			if !slices.Contains(v.Providers, o.Provider) {
				v.Providers = append(v.Providers, o.Provider)
			}
		}
		t.Add(cli.Text(name), in, out, cli.Number(v.Context), cli.Text(strings.Join(v.Providers, " ")))
		views = append(views, v)
	}
	t.Records = views
	return t
}
