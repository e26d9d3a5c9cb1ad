package server

import (
	"context"
	"net/http"

	"tallyroute/billing"
	"tallyroute/billing/governance"
	"tallyroute/billing/manage"
	"tallyroute/billing/policy"
)

// Asks are what the organisation's rules ask of a key, in sentences, and their version.
type Asks func(ctx context.Context, k *billing.Key) (version int64, text []string, err error)

// keyPolicy is GET /v1/key/policy: what holds for a key, for whoever has it.
type keyPolicy struct {
	Object        string              `json:"object"`
	KeyID         string              `json:"key_id"`
	Text          []string            `json:"text"` // what it may do, in sentences
	Models        []string            `json:"models"`
	AllowedCIDRs  []string            `json:"allowed_cidrs"`
	Policies      policies            `json:"policies"`
	Limits        manage.Limits       `json:"limits"`
	Budgets       []manage.BudgetView `json:"budgets"`
	ExpiresAt     *string             `json:"expires_at"`
	RotationDueAt *string             `json:"rotation_due_at"`
	Sensitivity   string              `json:"sensitivity"`
	Client        string              `json:"client"`
	DataClass     string              `json:"data_class"`
	Organisation  asked               `json:"organisation"`
}

// asked is what the organisation asks of the key.
type asked struct {
	Version int64    `json:"version"` // of its rules; 0: there are none
	Text    []string `json:"text"`
}

func getKeyPolicy(x *exchange) {
	caller, err := x.caller(policy.Self)
	if err != nil {
		x.fail(err)
		return
	}
	key, balances, err := x.Router.Self(x.ctx, caller)
	if x.of(key); err != nil {
		x.fail(err)
		return
	}
	v := manage.ViewKey(key, x.Start)
	p := keyPolicy{
		Object: "key.policy", KeyID: v.ID, Text: governance.Plain(key, x.Start), Models: v.Models, AllowedCIDRs: v.AllowedCIDRs,
		Policies: policies(key.Policies), Limits: v.Limits, Budgets: manage.ViewBalances(balances), ExpiresAt: v.ExpiresAt,
		RotationDueAt: v.RotationDueAt, Sensitivity: v.Sensitivity, Client: v.Client, DataClass: v.DataClass,
		Organisation: asked{Text: []string{}},
	}
	if caller.Temporary != nil {
		p.Text = append([]string{"You hold a temporary key of it, which ends by itself and makes no others."}, p.Text...)
	}
	if x.Asks != nil {
		version, text, err := x.Asks(x.ctx, key)
		if err != nil {
			x.fail(err)
			return
		}
		p.Organisation = asked{version, append([]string{}, text...)}
	}
	describeKey(&x.Head, key.Secret.Until)
	x.JSON(http.StatusOK, p)
}
