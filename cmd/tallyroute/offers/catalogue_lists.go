package offers

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/providers/catalogue"
	"tallyroute/providers/catalogue/published"
)

// priceList is a published price list and the file that it came from.
type priceList struct {
	*published.List
	file string
}

// maxList is far larger than any published list, in bytes.
const maxList = 64 << 20

// readLists reads published lists; an error names the file.
func readLists(a *cli.Context, files []string) ([]priceList, error) {
	lists := make([]priceList, len(files))
	for i, name := range files {
		f, err := a.FileOrStdin(name)
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(io.LimitReader(f, maxList+1))
		cli.Closing(f)
		if err == nil && len(data) > maxList {
			err = fmt.Errorf("larger than %d bytes", maxList)
		}
		var list *published.List
		if err == nil {
			list, err = published.Read(data)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		lists[i] = priceList{list, filepath.Base(name)}
	}
	return lists, nil
}

// catalogueCompare is "tallyroute catalogue compare".
type catalogueCompare struct {
	cli.Format
	Files    []string `arg:"" help:"Published lists: LiteLLM's map, models.dev or genai-prices, as JSON." placeholder:"FILE"`
	Provider string   `help:"Only the models of this provider."`
}

// compareView is one rate that differs between sources. Null means that a source lacks it.
type compareView struct {
	Target    string             `json:"target"`
	Kind      string             `json:"kind"`
	Catalogue *string            `json:"catalogue"`
	Lists     map[string]*string `json:"lists"` // by file
}

// Run prints the differences between the catalogue and the lists, beyond what rounding
// explains.
func (c catalogueCompare) Run(a *cli.Context) error {
	whole, _, err := a.WholeCatalogue()
	if err != nil {
		return err
	}
	offers, err := ofProvider(whole.Offers(), c.Provider)
	if err != nil {
		return err
	}
	lists, err := readLists(a, c.Files)
	if err != nil {
		return err
	}
	t := &cli.Table{Header: []string{"TARGET", "KIND", "CATALOGUE"}}
	for _, l := range lists {
		t.Header = append(t.Header, strings.ToUpper(l.file))
	}
	views, known, apart := []compareView{}, 0, 0
	for _, o := range offers {
		lines, found := disagreements(o, lists, time.Now())
		if found {
			known++
		}
		if len(lines) > 0 {
			apart++
		}
		for _, v := range lines {
			cells := []cli.Cell{cli.Text(v.Target), cli.Text(v.Kind), rateCell(v.Catalogue)}
			for _, l := range lists {
				cells = append(cells, rateCell(v.Lists[l.file]))
			}
			t.Add(cells...)
		}
		views = append(views, lines...)
	}
	t.Records = views
	if err := t.Write(a.Stdout, c.Output); err != nil {
		return err
	}
	fmt.Fprintf(a.Stderr, "%d of the %d models that a list knows have prices that disagree\n", apart, known)
	return nil
}

func rateCell(rate *string) cli.Cell {
	if rate == nil {
		return cli.Text("-")
	}
	return cli.Figure(*rate)
}

// disagreements returns the rates of o on which two sources differ. A kind that a source
// lacks isn't a disagreement, and an unpriced model has none.
func disagreements(o catalogue.Offer, lists []priceList, now time.Time) (views []compareView, known bool) {
	sources := []map[string]billing.Money{ratesAndFees(o.Price(now))}
	for _, l := range lists {
		e, ok := l.Find(o.Provider, o.Upstream)
		known = known || ok && len(e.Prices) > 0
		sources = append(sources, ratesAndFees(e.Prices))
	}
	kinds := make(map[string]bool)
	for _, rates := range sources {
		for kind := range rates {
			kinds[kind] = true
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		if alike(sources, kind) {
			continue
		}
		v := compareView{Target: o.Name(), Kind: kind, Catalogue: rateText(sources[0], kind), Lists: make(map[string]*string)}
		for i, l := range lists {
			v.Lists[l.file] = rateText(sources[i+1], kind)
		}
		views = append(views, v)
	}
	return views, known
}

func ratesOf(prices []billing.Price) map[string]billing.Money {
	rates := make(map[string]billing.Money)
	for _, r := range catalogue.Rates(prices) {
		rates[r.Name] = r.Rate
	}
	return rates
}

// ratesAndFees returns the rates along with the cost per unit of each meter. Published
// lists have no fees other than those for searches, so no other fee can disagree.
func ratesAndFees(prices []billing.Price) map[string]billing.Money {
	rates := ratesOf(prices)
	for _, f := range catalogue.FeesOf(prices) {
		rates[f.Name] = f.Rate
	}
	return rates
}

func rateText(rates map[string]billing.Money, kind string) *string {
	if m, ok := rates[kind]; ok {
		return new(m.Short())
	}
	return nil
}

// alike reports whether the sources that have a kind agree within one per cent, which
// allows for prices rounded at different places.
func alike(sources []map[string]billing.Money, kind string) bool {
	var all []billing.Money
	for _, rates := range sources {
		if m, ok := rates[kind]; ok {
			all = append(all, m)
		}
	}
	low, high := slices.Min(all), slices.Max(all)
	return high-low <= high/100
}
