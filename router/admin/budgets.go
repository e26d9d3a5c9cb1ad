package admin

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"tallyroute/billing"
)

// budgetBody is a budget as a client writes it.
type budgetBody struct {
	period, zone, action string
	usd                  money
	tokens               *int64
}

func (b *budgetBody) members() object {
	return object{"period": &b.period, "zone": &b.zone, "usd": &b.usd, "tokens": &b.tokens, "action": &b.action}
}

// budget is what the body says, of no scope yet. Without a period it is monthly.
func (b *budgetBody) budget() (billing.Budget, error) {
	if b.action != "" && b.action != "block" {
		return billing.Budget{}, invalid("action", "must be block")
	}
	return billing.Budget{
		Period: billing.Period(cmp.Or(b.period, string(billing.PeriodMonth))), Zone: b.zone, Tokens: b.tokens, Money: b.usd.Money,
	}, nil
}

func readBudget(raw []byte) (billing.Budget, error) {
	var b budgetBody
	if _, err := b.members().read(raw); err != nil {
		return billing.Budget{}, err
	}
	return b.budget()
}

// readBudget reads the member "budget"; null is none.
func (b *keyBody) readBudget(raw []byte) error {
	if string(raw) == "null" {
		return nil
	}
	one, err := readBudget(raw)
	b.budgets = []billing.Budget{one}
	return err
}

// readBudgets reads the member "budgets"; null is none.
func (b *keyBody) readBudgets(raw []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return hint("must be an array of budgets")
	}
	for i, item := range list {
		one, err := readBudget(item)
		if err != nil {
			return within(fmt.Sprintf("[%d]", i), err)
		}
		b.budgets = append(b.budgets, one)
	}
	return nil
}

func zoneOf(b billing.Budget) string { return cmp.Or(b.Zone, "UTC") }

func listBudgets(x *exchange) error {
	budgets, err := x.Owners.ListBudgets(x.ctx())
	if err != nil {
		return err
	}
	views := make([]budgetView, len(budgets))
	for i, b := range budgets {
		views[i] = viewBudget(b)
	}
	return paged(x, views, func(b budgetView) string { return b.ID })
}

// setBudget is POST /budgets: a new budget, or with the id of one that is
// there, that one changed. What was used of it stays used.
func setBudget(x *exchange) error {
	var body budgetBody
	var id, scope, scopeID string
	members := body.members()
	members["id"], members["scope"], members["scope_id"] = &id, &scope, &scopeID
	if _, err := x.body(members); err != nil {
		return err
	}
	b, err := body.budget()
	if err != nil {
		return err
	}
	b.ID, b.Scope, b.ScopeID = cmp.Or(id, billing.NewID("bud_")), billing.Scope(scope), scopeID
	if b.Scope == billing.ScopeOrg {
		b.ScopeID = cmp.Or(b.ScopeID, "org")
	}
	if err := b.Validate(); err != nil {
		return &billing.FieldError{Code: "invalid_value", Detail: strings.ReplaceAll(err.Error(), "billing: budget: ", "")}
	}
	all, err := x.Owners.ListBudgets(x.ctx())
	if err != nil {
		return err
	}
	there := slices.ContainsFunc(all, func(o billing.Budget) bool { return o.ID == b.ID })
	if id != "" && !there {
		return &billing.NotFoundError{What: "budget", ID: shorten(id)}
	}
	if err := x.Owners.SetBudget(x.ctx(), b, x.start); err != nil {
		return err
	}
	x.subject = b.ID
	return x.json(madeOrFound[there], viewBudget(b))
}
