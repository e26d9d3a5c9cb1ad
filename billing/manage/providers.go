package manage

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"tallyroute/billing"
)

// ProviderStatus is a provider as the router knows it.
type ProviderStatus struct {
	Name       string `json:"name"`
	Display    string `json:"display"`
	BaseURL    string `json:"base_url"`
	Adapter    string `json:"adapter"`
	Models     int    `json:"models"`
	Configured bool   `json:"configured" doc:"Whether it is in use."`
	Why        string `json:"why,omitempty" doc:"It does not."`
	From       string `json:"from" enum:"built-in,configuration,stored"`

	Environments []string `json:"environments,omitempty" doc:"Of the keys that may use it; all without it."`
}

// ProviderView is a provider in JSON.
type ProviderView struct {
	ProviderStatus
	Document  string  `json:"document,omitempty" doc:"The stored document."`
	UpdatedAt *string `json:"updated_at"`
	UpdatedBy string  `json:"updated_by,omitempty"`
	LeftOut   string  `json:"left_out,omitempty" doc:"Why the stored version is not in force."`
}

// maxDocument is the maximum size of a provider's document, in bytes.
const maxDocument = 512 << 10

// Providers lists the known providers.
func (a Actions) Providers(ctx context.Context) ([]ProviderView, error) {
	up, err := a.upstreams()
	if err != nil {
		return nil, err
	}
	known, err := up.Providers(ctx)
	if err != nil {
		return nil, err
	}
	stored, err := a.Store.ListProviders(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]ProviderView, 0, len(known))
	at := map[string]int{}
	for _, p := range known {
		at[p.Name] = len(list)
		list = append(list, ProviderView{ProviderStatus: p})
	}
	for _, p := range stored {
		i, is := at[p.Name]
		if !is {
			i = len(list)
			list = append(list, ProviderView{ProviderStatus: ProviderStatus{Name: p.Name, Display: p.Name, From: "stored"}})
		}
		v := &list[i]
		v.Document, v.UpdatedAt, v.UpdatedBy = p.Document, Instant(p.UpdatedAt), p.UpdatedBy
		switch err := up.Check(ctx, p); {
		case v.From == "configuration":
			v.LeftOut = "the configuration describes it"
		case err != nil:
			v.LeftOut = err.Error()
		}
	}
	return list, nil
}

// AddProvider stores a new provider.
func (a Actions) AddProvider(ctx context.Context, name, document string, by By) (billing.StoredProvider, error) {
	return a.putProvider(ctx, "provider.add", billing.StoredProvider{Name: name, Document: document}, by)
}

// UpdateProvider replaces a stored provider.
func (a Actions) UpdateProvider(ctx context.Context, name, document string, by By) (billing.StoredProvider, error) {
	return a.putProvider(ctx, "provider.update", billing.StoredProvider{Name: name, Document: document}, by)
}

func (a Actions) putProvider(ctx context.Context, action string, p billing.StoredProvider, by By) (billing.StoredProvider, error) {
	up, err := a.upstreams()
	if err == nil {
		err = by.check()
	}
	if err != nil {
		return p, err
	}
	if len(p.Document) > maxDocument {
		return p, invalid("settings", "must be at most %d bytes", maxDocument)
	}
	was, found, err := a.storedProvider(ctx, p.Name)
	switch {
	case err != nil:
		return p, err
	case found && action == "provider.add":
		return p, &billing.ConflictError{Detail: fmt.Sprintf("there is a stored provider %q: update it", p.Name)}
	case !found && action == "provider.update":
		return p, &billing.NotFoundError{What: "provider", ID: p.Name}
	}
	p.UpdatedAt, p.UpdatedBy = a.now().Truncate(time.Microsecond), by.Actor
	if err := up.Check(ctx, p); err != nil {
		return p, err
	}
	if err := a.keepsPlace(ctx, was, p); err != nil {
		return p, err
	}
	note := a.note(by, action, p.Name)
	note.Detail = map[string]string{"base_url": baseURL(p.Document)}
	return p, a.Store.PutProvider(ctx, p, note)
}

// RemoveProvider removes a stored provider. A built-in one reverts to what it was before.
func (a Actions) RemoveProvider(ctx context.Context, name string, by By) error {
	was, found, err := a.storedProvider(ctx, name)
	if err == nil && !found {
		err = &billing.NotFoundError{What: "provider", ID: name}
	}
	if err == nil {
		err = a.keepsPlace(ctx, was, billing.StoredProvider{Name: name})
	}
	if err == nil {
		err = by.check()
	}
	if err != nil {
		return err
	}
	return a.Store.DeleteProvider(ctx, name, a.note(by, "provider.remove", name))
}

func (a Actions) storedProvider(ctx context.Context, name string) (p billing.StoredProvider, found bool, err error) {
	all, err := a.Store.ListProviders(ctx)
	for _, p := range all {
		if p.Name == name {
			return p, true, err
		}
	}
	return p, false, err
}

// keepsPlace refuses to redirect credentials that were stored for one address to another.
func (a Actions) keepsPlace(ctx context.Context, was, is billing.StoredProvider) error {
	if baseURL(was.Document) == baseURL(is.Document) {
		return nil
	}
	all, err := a.Store.ListCredentials(ctx)
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.Provider == is.Name {
			return &billing.ConflictError{Detail: fmt.Sprintf("the provider has stored credentials, such as %s/%s, which go to "+
				"its present "+
				"address alone: remove them first, and store them again", c.Provider, c.Name)}
		}
	}
	return nil
}

// baseURL returns the address in a document; "" if it has none.
func baseURL(document string) string {
	var d struct {
		At string `json:"base_url"`
	}
	_ = json.Unmarshal([]byte(document), &d) // already checked, or empty
	return d.At
}
