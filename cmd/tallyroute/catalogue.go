package main

import (
	"context"
	"errors"
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
	in := catalogue.Input{File: c.source(), Providers: string(c.Providers), Aliases: string(c.Aliases)}
	if demo != nil {
		var err error
		if in.Providers, err = addProviders(in.Providers, demo); err != nil {
			return book{}, err
		}
	}
	b, err := catalogue.Build(ctx, in, catalogue.Options{})
	if err != nil || demo == nil || in.Aliases != "" {
		return book{b}, err
	}
	if _, _, taken := b.Resolve("auto"); !taken { // nobody but the demonstration is there
		in.Aliases = "aliases: {auto: [echo]}"
		b, err = catalogue.Build(ctx, in, catalogue.Options{})
	}
	return book{b}, err
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
