package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
	"tallyroute/router/admin/wire"
)

// upstreamOperations are about providers and our credentials at them.
func upstreamOperations() []operation {
	return []operation{
		does("listProviders", get, "/providers", "List the providers that are known, and what was stored of them.", listProviders),
		does("addProvider", post, "/providers", "Store a provider. Its settings are those of the configuration, without secrets.",
			addProvider).creates().afresh(),
		does("updateProvider", put, "/providers/:id", "Replace the settings of a stored provider.", updateProvider).afresh(),
		does("removeProvider", remove, "/providers/:id", "Remove a stored provider. If it replaced a built-in one, that one is used again.",
			removeProvider).afresh(),
		does("listCredentials", get, "/credentials", "List our credentials at providers, stored ones and those of the configuration.",
			listCredentials),
		does("addCredential", post, "/credentials", "Store a credential, sealed. No answer ever has its secret.", addCredential).
			creates().afresh(),
		does("changeCredential", patch, "/credentials/:id", "Change the members of a credential that are there.",
			changeCredential).afresh(),
		does("rotateCredential", post, "/credentials/:id/rotate", "Give a credential a new secret. The old one is spare for the overlap.",
			rotateCredential).afresh(),
		does("disableCredential", post, "/credentials/:id/disable", "Disable a credential until it is enabled again.",
			ofCredential(manage.Actions.DisableCredential)),
		does("enableCredential", post, "/credentials/:id/enable", "Enable a credential that was disabled.",
			ofCredential(manage.Actions.EnableCredential)).afresh(),
		does("testCredential", post, "/credentials/:id/test",
			"Ask the provider's cheapest model for one token, which it may bill, and tell what it answers.", testCredential),
		does("removeCredential", remove, "/credentials/:id", "Destroy a stored credential.", removeCredential).afresh(),
		does("rekeySecrets", post, "/secrets/rekey",
			"Seal all that is stored under the key that seals now. Doing it twice changes nothing.",
			rekeySecrets).slowly().afresh(),
	}
}

func upstreamRules() map[string]rule {
	return map[string]rule{
		"listProviders":     {rbac.ProvidersRead, organisation},
		"addProvider":       {rbac.ProvidersWrite, organisation},
		"updateProvider":    {rbac.ProvidersWrite, organisation},
		"removeProvider":    {rbac.ProvidersWrite, organisation},
		"listCredentials":   {rbac.ProvidersRead, organisation},
		"addCredential":     {rbac.ProvidersWrite, organisation},
		"changeCredential":  {rbac.ProvidersWrite, organisation},
		"rotateCredential":  {rbac.ProvidersWrite, organisation},
		"disableCredential": {rbac.ProvidersWrite, organisation},
		"enableCredential":  {rbac.ProvidersWrite, organisation},
		"testCredential":    {rbac.ProvidersWrite, organisation},
		"removeCredential":  {rbac.ProvidersWrite, organisation},
		"rekeySecrets":      {rbac.ProvidersWrite, organisation},
	}
}

// settings is an object exactly as it was sent.
type settings struct{ json.RawMessage }

// UnmarshalJSON accepts an object.
func (s *settings) UnmarshalJSON(raw []byte) error {
	if trimmed := bytes.TrimSpace(raw); len(trimmed) == 0 || trimmed[0] != '{' {
		return wire.Hint("must be an object: the settings of a provider, as the configuration has them")
	}
	s.RawMessage = bytes.Clone(raw)
	return nil
}

func (settings) Schema(*wire.Schemas) wire.Schema {
	return wire.Schema{"type": "object", "description": "The settings of a provider, as the configuration has them."}
}

// listProviders is GET /providers.
func listProviders(x *exchange, _ none) (wire.Page[manage.ProviderView], error) {
	all, err := x.Actions.Providers(x.ctx())
	return wire.ListOf(all, itself[manage.ProviderView]), err
}

// added is the body of addProvider.
type added struct {
	Name     string   `json:"name" required:"true"`
	Settings settings `json:"settings" required:"true"`
	Reason   string   `json:"reason"`
}

// addProvider is POST /providers.
func addProvider(x *exchange, in added) (storedProvider, error) {
	x.subject = wire.Shorten(in.Name)
	p, err := x.Actions.AddProvider(x.ctx(), in.Name, string(in.Settings.RawMessage), x.by(in.Reason))
	x.status = http.StatusCreated
	return viewStored(p), err
}

// updated is the body of updateProvider.
type updated struct {
	Settings settings `json:"settings" required:"true"`
	Reason   string   `json:"reason"`
}

// updateProvider is PUT /providers/{id}.
func updateProvider(x *exchange, in updated) (storedProvider, error) {
	p, err := x.Actions.UpdateProvider(x.ctx(), x.param("id"), string(in.Settings.RawMessage), x.by(in.Reason))
	return viewStored(p), err
}

// storedProvider is the provider as it was stored.
type storedProvider struct {
	Name      string  `json:"name"`
	Document  string  `json:"document"`
	UpdatedAt *string `json:"updated_at"`
	UpdatedBy string  `json:"updated_by"`
}

func viewStored(p billing.StoredProvider) storedProvider {
	return storedProvider{p.Name, p.Document, manage.Instant(p.UpdatedAt), p.UpdatedBy}
}

// removeProvider is DELETE /providers/{id}.
func removeProvider(x *exchange, in rehearsable) (gone, error) {
	return gone{true}, x.Actions.RemoveProvider(x.ctx(), x.param("id"), x.by(in.Reason))
}

// gone is the answer about an object that was removed.
type gone struct {
	Removed bool `json:"removed"`
}

// listCredentials is GET /credentials.
func listCredentials(x *exchange, _ none) (wire.Page[manage.CredentialView], error) {
	all, err := x.Actions.Credentials(x.ctx())
	health := x.Health().Data
	for i := range all {
		stand(&all[i], health)
	}
	return wire.ListOf(all, itself[manage.CredentialView]), err
}

// stand fills in how a credential has been behaving, regardless of its targets.
func stand(v *manage.CredentialView, health []TargetHealth) {
	name := v.Provider
	if own := v.LedgerName(); own != "" {
		name += "#" + own
	}
	for _, h := range health {
		if h.Name == name {
			v.Health, v.Cause = h.Status, h.Cause
		}
	}
}

// newCredential is the body of addCredential.
type newCredential struct {
	Provider  string        `json:"provider" required:"true"`
	Name      string        `json:"name" required:"true"`
	Owner     string        `json:"owner" doc:"The address of the owner."`
	Weight    *int          `json:"weight" doc:"Its share of calls: 0 to 1000, 1 by default."`
	Secret    string        `json:"secret" doc:"Default: the provider creates one, if the configuration names its admin API."`
	ExpiresAt *wire.Instant `json:"expires_at"`
	Reason    string        `json:"reason"`
}

// addCredential is POST /credentials.
func addCredential(x *exchange, in newCredential) (manage.CredentialView, error) {
	r := manage.CredentialRequest{Provider: in.Provider, Name: in.Name, Owner: in.Owner, Weight: 1, Secret: in.Secret}
	if in.Weight != nil {
		r.Weight = *in.Weight
	}
	r.ExpiresAt = in.ExpiresAt.OrZero()
	c, err := x.Actions.AddCredential(x.ctx(), r, x.by(in.Reason))
	x.subject, x.status = c.ID, http.StatusCreated
	return manage.ViewCredential(c, nil, x.Start), err
}

// changedCredential is the body of changeCredential.
type changedCredential struct {
	Owner     wire.Member[string]       `json:"owner"`
	Weight    wire.Member[int]          `json:"weight"`
	ExpiresAt wire.Member[wire.Instant] `json:"expires_at"`
	Reason    string                    `json:"reason"`
}

// changeCredential is PATCH /credentials/{id}.
func changeCredential(x *exchange, in changedCredential) (manage.CredentialView, error) {
	var r manage.CredentialChange
	if in.Owner.There {
		r.Owner = &in.Owner.Value
	}
	if in.Weight.There {
		r.Weight = &in.Weight.Value
	}
	if in.ExpiresAt.There {
		r.ExpiresAt = &in.ExpiresAt.Value.Time
	}
	c, err := x.Actions.ChangeCredential(x.ctx(), x.param("id"), r, x.by(in.Reason))
	return manage.ViewCredential(c, nil, x.Start), err
}

// rotatedCredential is the body of rotateCredential.
type rotatedCredential struct {
	Secret    string        `json:"secret" doc:"Default: the provider creates one, if the configuration names its admin API."`
	Overlap   *wire.Span    `json:"overlap" doc:"How long the old one is kept as a spare; 1h by default."`
	ExpiresAt *wire.Instant `json:"expires_at"`
	Reason    string        `json:"reason"`
}

// rotateCredential is POST /credentials/{id}/rotate.
func rotateCredential(x *exchange, in rotatedCredential) (manage.CredentialView, error) {
	r := manage.CredentialRotation{Secret: in.Secret, Overlap: time.Hour, ExpiresAt: in.ExpiresAt.OrZero()}
	if in.Overlap != nil {
		r.Overlap = time.Duration(*in.Overlap)
	}
	c, err := x.Actions.RotateCredential(x.ctx(), x.param("id"), r, x.by(in.Reason))
	return manage.ViewCredential(c, nil, x.Start), err
}

// ofCredential is POST /credentials/{id}/disable, and likewise enable.
func ofCredential(
	do func(manage.Actions, context.Context, string, manage.By) (billing.Credential, error),
) func(*exchange, reasoned) (manage.CredentialView, error) {
	return func(x *exchange, in reasoned) (manage.CredentialView, error) {
		c, err := do(x.Actions, x.ctx(), x.param("id"), x.by(in.Reason))
		return manage.ViewCredential(c, nil, x.Start), err
	}
}

// testCredential is POST /credentials/{id}/test.
func testCredential(x *exchange, in reasoned) (manage.Trial, error) {
	return x.Actions.TestCredential(x.ctx(), x.param("id"), x.by(in.Reason))
}

// removeCredential is DELETE /credentials/{id}.
func removeCredential(x *exchange, in rehearsable) (gone, error) {
	return gone{true}, x.Actions.RemoveCredential(x.ctx(), x.param("id"), x.by(in.Reason))
}

// rekeySecrets is POST /secrets/rekey.
func rekeySecrets(x *exchange, in rehearsable) (manage.Rekeyed, error) {
	return x.Actions.Rekey(x.ctx(), x.by(in.Reason))
}
