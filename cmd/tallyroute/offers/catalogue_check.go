package offers

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/providers/catalogue"
)

// Catalogue is "tallyroute catalogue".
type Catalogue struct {
	Check   catalogueCheck   `cmd:"" help:"Read the whole catalogue, and the configuration over it, and report everything that is wrong."`
	Compare catalogueCompare `cmd:"" help:"Show where published lists of prices disagree with the catalogue or with each other."`
	Update  catalogueUpdate  `cmd:"" help:"Show newer prices from published lists, and take them with --apply."`
}

type catalogueCheck struct {
	Files []string `arg:"" optional:"" help:"Further providers to check, one YAML document each." type:"existingfile"`
}

// Run reads every document completely. Problems are errors; oddities are only reported.
func (c catalogueCheck) Run(a *cli.Context) error {
	whole, _, err := a.WholeCatalogue()
	if err != nil {
		return err
	}
	if err := checkFiles(c.Files); err != nil {
		return err
	}
	offers := whole.Offers()
	for _, group := range catalogue.Strays(offers) {
		words := make([]string, len(group))
		for i, o := range group {
			words[i] = o.Name() + " is " + o.Is()
		}
		fmt.Fprintf(a.Stdout, "one model by several names: %s; give them one canonical name\n", strings.Join(words, ", "))
	}
	now := time.Now()
	prices, fees, unpriced, models := 0, 0, make(map[string]int), make(map[string]bool)
	for _, o := range offers {
		prices += len(o.Prices)
		fees += len(catalogue.FeesOf(o.Price(now)))
		models[o.Is()] = true
		if len(o.Price(now)) == 0 {
			unpriced[o.Provider]++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(unpriced)) {
		fmt.Fprintf(a.Stdout, "no price: %d models of %s\n", unpriced[name], name)
	}
	_, err = fmt.Fprintf(a.Stdout, "ok: %d providers, %d models at %d targets, %d prices and %d fees\n",
		len(whole.Providers()), len(models), len(offers), prices, fees)
	return err
}

// checkFiles checks documents that aren't part of the catalogue yet.
func checkFiles(names []string) error {
	var all catalogue.Faults
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		_, err = catalogue.Parse(filepath.Base(name), text)
		var wrong catalogue.Faults
		if errors.As(err, &wrong) {
			all = append(all, wrong...)
		}
	}
	if len(all) > 0 {
		return all
	}
	return nil
}

// ofProvider returns the offers of one provider, or all of them if none is named.
func ofProvider(offers []catalogue.Offer, provider string) ([]catalogue.Offer, error) {
	if provider == "" {
		return offers, nil
	}
	list := slices.DeleteFunc(slices.Clone(offers), func(o catalogue.Offer) bool { return o.Provider != provider })
	if len(list) == 0 {
		return nil, cli.Usagef("--provider: the catalogue has no models of %q", provider)
	}
	return list, nil
}
