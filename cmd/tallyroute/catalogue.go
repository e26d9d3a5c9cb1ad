package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"tallyroute/providers/catalogue"
	"tallyroute/router"
)

// book is the catalogue as the router wants it.
type book struct{ *catalogue.Catalogue }

var _ router.Catalogue = book{}

// Models lists the names that can be asked for.
func (b book) Models() []router.Model {
	listed := b.Catalogue.Models()
	models := make([]router.Model, len(listed))
	for i, l := range listed {
		models[i] = router.Model(l)
	}
	return models
}

// known reports whether a key may be limited to name, and if not, what is near.
// A pattern such as groq/* is known where the provider is.
func (b book) known(name string) (nearest string, known bool) {
	if provider, ok := strings.CutSuffix(name, "/*"); ok {
		for _, p := range b.Providers() {
			if p.Name == provider {
				return "", true
			}
		}
	}
	if _, _, ok := b.Resolve(name); ok {
		return "", true
	}
	return b.Nearest(name, func(string) bool { return true }), false
}

// settings reads the configuration and the catalogue that it leads to, and
// reports every fault of both.
func (a *app) settings() (*Config, book, error) {
	cfg, r, err := a.readConfig()
	if err != nil {
		return nil, book{}, err
	}
	var demo map[string]string
	if cfg.Demo {
		demo = demoDocuments(nil)
	}
	b, err := cfg.catalogue(a.ctx, demo)
	var wrong catalogue.Faults
	if errors.As(err, &wrong) {
		for _, f := range wrong {
			r.faults = append(r.faults, fault{f.File, f.Line, f.Path, f.Problem})
		}
		err = nil
	}
	if err == nil {
		err = r.err()
	}
	return cfg, b, err
}

// catalogue builds what the configuration says, with the demonstration's
// documents where there are any.
func (c *Config) catalogue(ctx context.Context, demo map[string]string) (book, error) {
	in, err := c.catalogueInput()
	if err != nil {
		return book{}, err
	}
	if demo != nil {
		if in.Providers, err = addProviders(in.Providers, demo); err != nil {
			return book{}, err
		}
	}
	proxy, err := c.UpstreamProxy.resolve(ctx)
	if err != nil {
		return book{}, fmt.Errorf("upstream_proxy: %w", err)
	}
	o := catalogue.Options{Proxy: proxy}
	b, err := catalogue.Build(ctx, in, o)
	if err != nil || demo == nil || in.Aliases != "" {
		return book{b}, err
	}
	if _, _, taken := b.Resolve("auto"); !taken { // nobody but the demonstration is there
		in.Aliases = "aliases: {auto: [echo]}"
		b, err = catalogue.Build(ctx, in, o)
	}
	return book{b}, err
}

// catalogueInput is what the configuration and the file of newer prices say.
func (c *Config) catalogueInput() (catalogue.Input, error) {
	newer, err := c.newerPrices()
	return catalogue.Input{
		File: c.source(), Providers: string(c.Providers), Aliases: string(c.Aliases), Prices: newer,
		PricesFile: filepath.Base(c.PricesFile),
	}, err
}

// newerPrices is the text of the file of newer prices, which need not be there
// unless the configuration names it.
func (c *Config) newerPrices() (string, error) {
	text, err := os.ReadFile(c.PricesFile)
	if errors.Is(err, fs.ErrNotExist) && c.PricesFile == defaultConfig().PricesFile {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("configuration: prices_file: %w", err)
	}
	return string(text), nil
}

// wholeCatalogue is the catalogue with every offer of every provider in it.
func (c *Config) wholeCatalogue(ctx context.Context) (*catalogue.Catalogue, error) {
	in, err := c.catalogueInput()
	if err != nil {
		return nil, err
	}
	return catalogue.Build(ctx, in, catalogue.Options{Whole: true})
}

// pricesBook reads what there is to update. The configuration's own prices are
// not: they are contracts.
func (c *Config) pricesBook(ctx context.Context) (*pricesBook, error) {
	in, err := c.catalogueInput()
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

var errDemoStyle = errors.New("configuration: with demo: true, write providers: as one provider per line, without braces around them all")

// addProviders adds documents, each on a line of its own, to a providers
// section: in whichever way that one is written, so that its lines stay where
// they are.
func addProviders(section string, documents map[string]string) (string, error) {
	indent, item := "  ", false
	for line := range strings.Lines(section) {
		word := strings.TrimSpace(line)
		switch {
		case word == "" || strings.HasPrefix(word, "#"):
		case strings.HasPrefix(line, "providers:"):
			if rest := strings.TrimSpace(line[len("providers:"):]); rest != "" && !strings.HasPrefix(rest, "#") {
				return "", errDemoStyle
			}
		default:
			indent, item = line[:len(line)-len(strings.TrimLeft(line, " "))], strings.HasPrefix(word, "- ")
		}
		if indent != "  " || item {
			break
		}
	}
	var b strings.Builder
	b.WriteString(strings.TrimRight(section, " \n"))
	if strings.TrimSpace(section) == "" {
		b.WriteString("providers:")
	}
	for _, name := range names(documents) {
		b.WriteString("\n" + indent)
		if item {
			b.WriteString("- {name: " + name + ", " + documents[name] + "}")
		} else {
			b.WriteString(name + ": {" + documents[name] + "}")
		}
	}
	return b.String() + "\n", nil
}
