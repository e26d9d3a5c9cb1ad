package upstream

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/providers"
	"tallyroute/providers/catalogue"
	"tallyroute/providers/secret/envelope"
)

// Desk is where administrators manage providers.
type Desk struct {
	Store Store
	// Ring returns the keys that encrypt secrets.
	Ring func(ctx context.Context) (*envelope.Ring, error)
	// Input and Options return what the catalogue is built from, apart from what is stored.
	Input  func(ctx context.Context) (catalogue.Input, catalogue.Options, error)
	Client func(ctx context.Context) (*providers.Client, error)
	Clock  func() time.Time
}

var _ manage.Upstreams = (*Desk)(nil)

// Seal implements manage.Upstreams.
func (d *Desk) Seal(ctx context.Context, text, about string) ([]byte, error) {
	ring, err := d.Ring(ctx)
	if err != nil {
		return nil, err
	}
	return ring.Seal(text, about)
}

// Rekey implements manage.Upstreams.
func (d *Desk) Rekey(ctx context.Context, sealed []byte, about string) (under []byte, changed bool, err error) {
	ring, err := d.Ring(ctx)
	if err != nil {
		return nil, false, err
	}
	return ring.Rekey(sealed, about)
}

// load returns what is currently stored.
func (d *Desk) load(ctx context.Context) (*Loaded, error) {
	ring, err := d.Ring(ctx)
	if err != nil {
		return nil, err
	}
	return Load(ctx, d.Store, ring, nil, d.Clock())
}

// build returns the catalogue with what is stored, after applying change to it.
func (d *Desk) build(ctx context.Context, change func(*Loaded)) (*catalogue.Catalogue, map[string]error, error) {
	l, err := d.load(ctx)
	if err != nil {
		return nil, nil, err
	}
	in, o, err := d.Input(ctx)
	if err != nil {
		return nil, nil, err
	}
	change(l)
	return l.Build(ctx, in, o)
}

func same(*Loaded) {}

// Takes implements manage.Upstreams.
func (d *Desk) Takes(ctx context.Context, provider, text string) error {
	c, _, err := d.build(ctx, same)
	if err != nil {
		return err
	}
	if err := c.Takes(provider, text); err != nil {
		field := "secret"
		if !slices.ContainsFunc(c.Providers(), func(s catalogue.Status) bool { return s.Name == provider }) {
			field = "provider"
		}
		return &billing.FieldError{Field: field, Code: "invalid_value", Detail: err.Error()}
	}
	return nil
}

// Check implements manage.Upstreams.
func (d *Desk) Check(ctx context.Context, p billing.StoredProvider) error {
	if err := catalogue.ProviderName(p.Name); err != nil {
		return &billing.FieldError{Field: "name", Code: "invalid_value", Detail: err.Error()}
	}
	in, _, err := d.Input(ctx)
	if err != nil {
		return err
	}
	if slices.Contains(catalogue.Described(in.Text), p.Name) {
		return &billing.ConflictError{Detail: "the configuration describes the provider " + p.Name + ", and what it says holds"}
	}
	_, broken, err := d.build(ctx, func(l *Loaded) {
		l.providers = slices.DeleteFunc(l.providers, func(s catalogue.Stored) bool { return s.Name == p.Name })
		l.providers = append(l.providers, catalogue.Stored{Name: p.Name, Text: p.Document})
	})
	if err != nil {
		return err
	}
	var faults catalogue.Faults
	switch why := broken[p.Name]; {
	case why == nil:
		return nil
	case errors.As(why, &faults):
		lines := make([]string, len(faults))
		for i, f := range faults {
			lines[i] = strings.TrimPrefix(f.Path+": "+f.Problem, ": ")
		}
		return &billing.FieldError{Field: "settings", Code: "invalid_value", Detail: strings.Join(lines, "; ")}
	default:
		return &billing.FieldError{Field: "settings", Code: "invalid_value", Detail: why.Error()}
	}
}

// Providers implements manage.Upstreams.
func (d *Desk) Providers(ctx context.Context) ([]manage.ProviderStatus, error) {
	c, _, err := d.build(ctx, same)
	if err != nil {
		return nil, err
	}
	var list []manage.ProviderStatus
	for _, s := range c.Providers() {
		list = append(list, manage.ProviderStatus{
			Name: s.Name, Display: s.Display, BaseURL: s.BaseURL, Adapter: s.Adapter, Models: s.Models, Configured: s.Configured,
			Why:  s.Why,
			From: s.From, Environments: s.Environments,
		})
	}
	return list, nil
}

// Configured implements manage.Upstreams.
func (d *Desk) Configured(ctx context.Context) ([]manage.ConfiguredCredential, error) {
	c, _, err := d.build(ctx, same)
	if err != nil {
		return nil, err
	}
	var list []manage.ConfiguredCredential
	for _, s := range c.Credentials() {
		list = append(list, manage.ConfiguredCredential(s))
	}
	return list, nil
}
