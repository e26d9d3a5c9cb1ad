package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
)

// keyBody is what a key may be made of, or changed in.
type keyBody struct {
	name, project, team, costCenter, environment string
	models                                       []string
	cidrs                                        []netip.Prefix
	budgets                                      []billing.Budget
	requests, tokens                             int64
	limits                                       map[string]bool // which of the two are there
	unpriced, objects                            bool
	tags                                         map[string]string
	expiresAt                                    *time.Time
	expiresIn                                    duration
}

// shared are the members that a new key and a changed one have in common.
func (b *keyBody) shared() object {
	return object{
		"name": &b.name, "models": &b.models, "allowed_cidrs": b.readRanges, "tags": &b.tags, "allow_unpriced": &b.unpriced,
		"allow_provider_objects": &b.objects,
		"limits": func(raw []byte) (err error) {
			b.limits, err = object{"requests_per_minute": &b.requests, "tokens_per_minute": &b.tokens}.read(raw)
			return err
		},
		"expires_at": b.readExpiresAt, "expires_in": &b.expiresIn,
		"budget": b.readBudget, "budgets": b.readBudgets,
	}
}

// readExpiresAt reads an instant; null is never.
func (b *keyBody) readExpiresAt(raw []byte) error {
	if err := json.Unmarshal(raw, &b.expiresAt); err != nil {
		return hint("must be an instant such as 2027-01-31T00:00:00Z, or null")
	}
	return nil
}

// check refuses members that contradict each other.
func (b *keyBody) check(seen map[string]bool) error {
	switch {
	case seen["expires_at"] && seen["expires_in"]:
		return invalid("expires_in", "must not be there beside expires_at")
	case seen["budget"] && seen["budgets"]:
		return invalid("budget", "must not be there beside budgets")
	}
	return nil
}

func (b *keyBody) readRanges(raw []byte) error {
	var texts []string
	if err := json.Unmarshal(raw, &texts); err != nil {
		return hint("must be an array of ranges of addresses")
	}
	for i, text := range texts {
		p, err := readRange(text)
		if err != nil {
			return within(fmt.Sprintf("[%d]", i), err)
		}
		b.cidrs = append(b.cidrs, p)
	}
	return nil
}

// expiry is when the key ends; zero is never.
func (b *keyBody) expiry(now time.Time) time.Time {
	switch {
	case b.expiresIn > 0:
		return now.UTC().Add(time.Duration(b.expiresIn)).Truncate(time.Second)
	case b.expiresAt != nil:
		return b.expiresAt.UTC()
	}
	return time.Time{}
}

// by is who asks. The admin token has no name.
func by(reason string) manage.By { return manage.By{Actor: "admin", Reason: reason} }

// createKey is POST /keys. The secret is in this answer and nowhere else.
func createKey(x *exchange) error {
	var b keyBody
	members := b.shared()
	members["project"], members["team"], members["cost_center"], members["environment"] = &b.project, &b.team, &b.costCenter, &b.environment
	seen, err := x.body(members)
	if err == nil {
		err = b.check(seen)
	}
	if err != nil {
		return err
	}
	key, secret, err := x.Actions.CreateKey(x.ctx(), manage.KeyRequest{
		Name: b.name, Project: b.project, Team: b.team, CostCenter: b.costCenter, Environment: b.environment,
		Models: b.models, Budgets: b.budgets, AllowedCIDRs: b.cidrs, RequestsPerMinute: b.requests, TokensPerMinute: b.tokens,
		AllowUnpriced: b.unpriced, AllowProviderObjects: b.objects, Tags: b.tags, ExpiresAt: b.expiry(x.start),
	}, by(""))
	if err != nil {
		return err
	}
	x.subject = string(key.ID)
	return x.json(http.StatusCreated, createdKey{
		KeyView: manage.ViewKey(&key, x.start), Secret: secret.Reveal(), SecretShownOnce: true,
		Snippets: snippets(x.BaseURL, &key), Warnings: warnings(&key),
	})
}

// createdKey is a key with its secret.
type createdKey struct {
	manage.KeyView
	Secret          string            `json:"secret"`
	SecretShownOnce bool              `json:"secret_shown_once"`
	Snippets        map[string]string `json:"snippets"`
	Warnings        []string          `json:"warnings"`
}

func warnings(k *billing.Key) []string {
	list := []string{}
	if len(k.Budgets) == 0 {
		list = append(list, "The key has no budget of its own: it may spend all that its owners may.")
	}
	if k.ExpiresAt.IsZero() {
		list = append(list, "The key never expires.")
	}
	return list
}

func listKeys(x *exchange) error {
	q, err := x.query("team", "project", "status", "q", "limit", "cursor")
	if err != nil {
		return err
	}
	limit, err := limitOf(q)
	if err != nil {
		return err
	}
	keys, more, err := x.Actions.Keys(x.ctx(), billing.KeyFilter{
		Team: q.Get("team"), Project: q.Get("project"), Status: q.Get("status"), Query: q.Get("q"),
		After: billing.KeyID(q.Get("cursor")), Limit: limit,
	})
	if err != nil {
		return err
	}
	list := page[manage.KeyView]{Data: make([]manage.KeyView, len(keys))}
	for i := range keys {
		list.Data[i] = manage.ViewKey(&keys[i], x.start)
	}
	if more {
		list.continueAfter(string(keys[len(keys)-1].ID))
	}
	return x.json(http.StatusOK, list)
}

func getKey(x *exchange) error {
	key, err := x.Actions.Key(x.ctx(), billing.KeyID(x.c.Param("id")))
	if err != nil {
		return err
	}
	v := manage.ViewKey(&key, x.start)
	balances, err := x.Actions.Store.Balances(x.ctx(), &key, x.start)
	if err != nil {
		return err
	}
	v.Budgets = manage.ViewBalances(balances)
	return x.json(http.StatusOK, v)
}

// changeKey is PATCH /keys/{id}: the members that are there are changed.
func changeKey(x *exchange) error {
	var b keyBody
	seen, err := x.body(b.shared())
	if err == nil {
		err = b.check(seen)
	}
	if err != nil {
		return err
	}
	x.subject = x.c.Param("id")
	key, err := x.Actions.ChangeKey(x.ctx(), billing.KeyID(x.c.Param("id")), func(k *billing.Key) {
		for _, member := range []struct {
			there bool
			set   func()
		}{
			{seen["name"], func() { k.Name = b.name }},
			{seen["models"], func() { k.Models = b.models }},
			{seen["allowed_cidrs"], func() { k.AllowedCIDRs = b.cidrs }},
			{seen["tags"], func() { k.Tags = b.tags }},
			{seen["allow_unpriced"], func() { k.AllowUnpriced = b.unpriced }},
			{seen["allow_provider_objects"], func() { k.AllowProviderObjects = b.objects }},
			{b.limits["requests_per_minute"], func() { k.RequestsPerMinute = b.requests }},
			{b.limits["tokens_per_minute"], func() { k.TokensPerMinute = b.tokens }},
			{seen["expires_at"] || seen["expires_in"], func() { k.ExpiresAt = b.expiry(x.start) }},
			{seen["budget"] || seen["budgets"], func() { manage.SetBudgets(k, b.budgets) }},
		} {
			if member.there {
				member.set()
			}
		}
	})
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, manage.ViewKey(&key, x.start))
}

// revokeKey is POST /keys/{id}/revoke. Doing it twice changes nothing.
func revokeKey(x *exchange) error {
	var reason string
	if err := x.optionalBody(object{"reason": &reason}); err != nil {
		return err
	}
	x.subject = x.c.Param("id")
	key, err := x.Actions.RevokeKey(x.ctx(), billing.KeyID(x.c.Param("id")), by(reason))
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, manage.ViewKey(&key, x.start))
}

// enableKey is POST /keys/{id}/enable, for a key that was stopped. Doing it twice
// changes nothing.
func enableKey(x *exchange) error {
	var reason string
	if err := x.optionalBody(object{"reason": &reason}); err != nil {
		return err
	}
	x.subject = x.c.Param("id")
	key, err := x.Actions.EnableKey(x.ctx(), billing.KeyID(x.c.Param("id")), by(reason))
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, manage.ViewKey(&key, x.start))
}
