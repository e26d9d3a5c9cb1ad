package manage

import (
	"cmp"
	"context"
	"slices"
	"time"

	"tallyroute/billing"
)

// CredentialView is a credential in JSON, without its secret.
type CredentialView struct {
	ID           string          `json:"id" doc:"Empty for those in the configuration, which cannot be changed here."`
	Provider     string          `json:"provider"`
	Name         string          `json:"name"`
	From         string          `json:"from" enum:"stored,configuration"`
	Refers       string          `json:"refers,omitempty" doc:"Where a credential in the configuration comes from."`
	Owner        string          `json:"owner"`
	Weight       int             `json:"weight"`
	Status       string          `json:"status" enum:"active,disabled,expired,missing"`
	Why          string          `json:"why,omitempty"`
	CreatedAt    *string         `json:"created_at"`
	CreatedBy    string          `json:"created_by"`
	ExpiresAt    *string         `json:"expires_at"`
	LastUsedAt   *string         `json:"last_used_at"`
	LastFailedAt *string         `json:"last_failed_at"`
	LastFailure  string          `json:"last_failure,omitempty"`
	Health       string          `json:"health" enum:"healthy,trial,open,unknown"`
	Cause        string          `json:"cause,omitempty" doc:"Why it is currently left out."`
	Versions     []CredentialUse `json:"versions" doc:"Newest first. There are two during an overlap."`
}

// CredentialUse is a version of a credential in JSON.
type CredentialUse struct {
	Number     int     `json:"number"`
	Ledger     string  `json:"ledger_name" doc:"Its name in rows of the ledger."`
	CreatedAt  *string `json:"created_at"`
	EndsAt     *string `json:"ends_at"`
	LastUsedAt *string `json:"last_used_at"`
	Made       bool    `json:"made_by_provider"`
}

// Credentials lists all credentials: those stored and those in the configuration.
func (a Actions) Credentials(ctx context.Context) ([]CredentialView, error) {
	stored, err := a.Store.ListCredentials(ctx)
	if err != nil {
		return nil, err
	}
	uses, err := a.Store.CredentialUses(ctx)
	if err != nil {
		return nil, err
	}
	var configured []ConfiguredCredential
	if a.Upstreams != nil {
		if configured, err = a.Upstreams.Configured(ctx); err != nil {
			return nil, err
		}
	}
	list := make([]CredentialView, 0, len(stored)+len(configured))
	for _, c := range stored {
		list = append(list, ViewCredential(c, uses, a.now()))
	}
	for _, c := range configured {
		list = append(list, viewConfigured(c, uses))
	}
	slices.SortStableFunc(list, func(a, b CredentialView) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Name, b.Name))
	})
	return list, nil
}

// ViewCredential converts a stored credential, as it is at an instant, to JSON form.
func ViewCredential(c billing.Credential, uses []billing.CredentialUse, now time.Time) CredentialView {
	v := CredentialView{
		ID: c.ID, Provider: c.Provider, Name: c.Name, From: "stored", Owner: c.Owner, Weight: c.Weight, Status: "active",
		CreatedAt: Instant(c.CreatedAt), CreatedBy: c.CreatedBy, ExpiresAt: Instant(c.ExpiresAt), Health: "unknown",
		Versions: []CredentialUse{},
	}
	switch {
	case !c.DisabledAt.IsZero():
		v.Status = "disabled"
	case !c.InForce(now):
		v.Status = "expired"
	}
	var last billing.CredentialUse
	for _, one := range c.Versions {
		use := useOf(uses, c.Provider, NameInLedger(c, one))
		last = last.Later(use)
		v.Versions = append(v.Versions, CredentialUse{
			one.Number, NameInLedger(c, one), Instant(one.CreatedAt), Instant(one.EndsAt), Instant(use.UsedAt), one.RemoteID != "",
		})
	}
	v.used(last)
	return v
}

func viewConfigured(c ConfiguredCredential, uses []billing.CredentialUse) CredentialView {
	v := CredentialView{
		Provider: c.Provider, Name: c.Name, From: "configuration", Refers: c.Refers, Owner: c.Owner, Weight: c.Weight, Status: "active",
		Why: c.Why, Health: "unknown", Versions: []CredentialUse{},
	}
	if c.Why != "" {
		v.Status = "missing"
	}
	v.used(useOf(uses, c.Provider, c.Name))
	return v
}

func (v *CredentialView) used(u billing.CredentialUse) {
	v.LastUsedAt, v.LastFailedAt, v.LastFailure = Instant(u.UsedAt), Instant(u.FailedAt), u.Failure
}

// LedgerName returns the name of the credential in ledger rows and in the health status.
func (v *CredentialView) LedgerName() string {
	if len(v.Versions) > 0 {
		return v.Versions[0].Ledger
	}
	return v.Name
}

func useOf(uses []billing.CredentialUse, provider, name string) billing.CredentialUse {
	for _, u := range uses {
		if u.Provider == provider && u.Credential == name {
			return u
		}
	}
	return billing.CredentialUse{}
}
