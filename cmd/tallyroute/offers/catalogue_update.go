package offers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/providers/catalogue"
)

// catalogueUpdate is "tallyroute catalogue update".
type catalogueUpdate struct {
	cli.Format
	Files    []string `arg:"" help:"Published lists in JSON (LiteLLM, models.dev, genai-prices); the last counts." placeholder:"FILE"`
	Provider string   `help:"Only the models of this provider."`
	Apply    bool     `help:"Write the new prices to the prices_file of the configuration. Without it they are only shown."`
	Force    bool     `help:"Also take prices that differ more than twentyfold from the previous ones."`
}

// changeView is one rate that changes.
type changeView struct {
	Target  string  `json:"target"`
	Kind    string  `json:"kind"`
	Now     *string `json:"now"` // null: there is none
	New     *string `json:"new"`
	List    string  `json:"list"`
	Since   string  `json:"since"`
	Refused string  `json:"refused"` // why it needs --force
}

var errFar = errors.New("prices that are more than twenty times off the ones before are not taken; if they are right, add --force")

// Run shows what the lists would change and, with --apply, writes it.
func (c catalogueUpdate) Run(a *cli.Context) error {
	cfg, _, err := a.Settings()
	if err != nil {
		return err
	}
	lists, err := readLists(a, c.Files)
	if err != nil {
		return err
	}
	p, err := readPricesBook(a.Ctx, cfg)
	if err != nil {
		return err
	}
	offers, err := ofProvider(p.offers, c.Provider)
	if err != nil {
		return err
	}
	changes, left := p.renew(offers, lists, time.Now())
	t, refused := changesTable(changes)
	if err := t.Write(a.Stdout, c.Output); err != nil {
		return err
	}
	for _, kind := range slices.Sorted(maps.Keys(left)) {
		fmt.Fprintf(a.Stderr, "not taken over: %s of %d models, which is not a price per token, or is implausible\n", kind,
			left[kind])
	}
	fmt.Fprintf(a.Stderr, "%d models have other prices, %d of them refused\n", len(changes), refused)
	switch {
	case refused > 0 && !c.Force:
		return errFar
	case len(changes) == 0:
		return nil
	case !c.Apply:
		fmt.Fprintln(a.Stderr, "nothing was written; add --apply")
		return nil
	}
	if err := p.write(changes); err != nil {
		return err
	}
	fmt.Fprintf(a.Stderr, "wrote %s; running routers read it within two seconds\n", p.file)
	return nil
}

// listChange is a change and the list that it came from.
type listChange struct {
	catalogue.Change
	list string
}

// pricesBook is what can be updated: the built-in models, with the prices from the file of
// newer prices.
type pricesBook struct {
	file   string
	offers []catalogue.Offer
	plain  map[string]catalogue.Offer // without that file, by name
	own    map[string]bool            // names whose prices the configuration sets
}

// readPricesBook reads what can be updated. Prices set in the configuration can't be: they
// are contracts.
func readPricesBook(ctx context.Context, c *config.Config) (*pricesBook, error) {
	in, err := app.CatalogueInput(c)
	if err != nil {
		return nil, err
	}
	p := &pricesBook{file: c.PricesFile, plain: make(map[string]catalogue.Offer), own: make(map[string]bool)}
	offers := func(in catalogue.Input) []catalogue.Offer {
		if err != nil {
			return nil
		}
		var b *catalogue.Catalogue
		if b, err = catalogue.Build(ctx, in, catalogue.Options{Whole: true}); err != nil {
			return nil
		}
		return b.Offers()
	}
	for _, o := range offers(in) {
		for _, price := range o.Prices {
			p.own[o.Name()] = p.own[o.Name()] || o.Own && price.Source != "catalog"
		}
	}
	p.offers = offers(catalogue.Input{Prices: in.Prices, PricesFile: in.PricesFile})
	for _, o := range offers(catalogue.Input{}) {
		p.plain[o.Name()] = o
	}
	return p, err
}

// renew finds where the lists differ. left counts what else they contain, by its name
// there.
func (p *pricesBook) renew(offers []catalogue.Offer, lists []priceList, now time.Time) (changes []listChange, left map[string]int) {
	left = make(map[string]int)
	today := now.UTC().Truncate(24 * time.Hour)
	for _, o := range offers {
		if p.own[o.Name()] {
			continue
		}
		for _, l := range slices.Backward(lists) {
			e, ok := l.Find(o.Provider, o.Upstream)
			if !ok {
				continue
			}
			for _, name := range e.Left {
				left[name]++
			}
			if len(e.Prices) == 0 {
				continue
			}
			if change, ok := catalogue.Renew(o, e, today, now); ok {
				changes = append(changes, listChange{change, l.file})
			}
			break
		}
	}
	return changes, left
}

func samePrice(a, b billing.Price) bool { return a.ID == b.ID }

// write adds the changes to the file atomically.
func (p *pricesBook) write(changes []listChange) error {
	fresh := make(map[string][]billing.Price)
	for _, c := range changes {
		fresh[c.Offer.Name()] = c.New
	}
	var list []catalogue.Offer
	for _, o := range p.offers {
		newer := fresh[o.Name()]
		if newer == nil && slices.EqualFunc(o.Prices, p.plain[o.Name()].Prices, samePrice) {
			continue
		}
		o.Prices = append(slices.Clone(o.Prices), newer...)
		list = append(list, o)
	}
	temp, err := os.CreateTemp(filepath.Dir(p.file), ".prices-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) //nolint:errcheck // it is gone once it was renamed
	_, err = temp.WriteString(catalogue.WritePrices(list))
	if err == nil {
		err = temp.Chmod(0o644)
	}
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), p.file)
}

// changesTable has a line for each rate that changes. It also counts the refused models.
func changesTable(changes []listChange) (t *cli.Table, refused int) {
	t = &cli.Table{Header: []string{"TARGET", "KIND", "USD/M NOW", "USD/M NEW", "CHANGE", "LIST", "SINCE", "REFUSED"}}
	views := []changeView{}
	for _, c := range changes {
		if c.Far != "" {
			refused++
		}
		now, fresh := ratesOf(c.Now), ratesOf(c.New)
		all := make(map[string]bool)
		for kind := range now {
			all[kind] = true
		}
		for kind := range fresh {
			all[kind] = true
		}
		for _, kind := range slices.Sorted(maps.Keys(all)) {
			was, had := now[kind]
			is, has := fresh[kind]
			if had && has && was == is {
				continue
			}
			v := changeView{
				Target: c.Offer.Name(), Kind: kind, Now: rateText(now, kind), New: rateText(fresh, kind), List: c.list,
				Since: strings.TrimSuffix(c.New[0].Since.Format(time.RFC3339), "T00:00:00Z"), Refused: c.Far,
			}
			t.Add(cli.Text(v.Target), cli.Text(kind), rateCell(v.Now), rateCell(v.New), cli.Text(percent(was, is)), cli.Text(c.list),
				cli.Text(v.Since),
				cli.Text(c.Far))
			views = append(views, v)
		}
	}
	t.Records = views
	return t, refused
}

// percent returns by how much a rate goes up or down.
func percent(was, is billing.Money) string {
	if was <= 0 || is < 0 {
		return "-"
	}
	tenths := (is - was) * 1000 / was
	sign := "+"
	if tenths < 0 {
		sign, tenths = "-", -tenths
	}
	return fmt.Sprintf("%s%d.%d %%", sign, tenths/10, tenths%10)
}
