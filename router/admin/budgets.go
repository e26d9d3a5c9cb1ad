package admin

import (
	"cmp"
	"encoding/json"
	"fmt"

	"tallyroute/billing"
	"tallyroute/billing/manage"
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

// budget is what the body says, of no scope yet.
func (b *budgetBody) budget() (billing.Budget, error) {
	if b.action != "" && b.action != "block" {
		return billing.Budget{}, invalid("action", "must be block")
	}
	return billing.Budget{
		Period: billing.Period(b.period), Zone: b.zone, Tokens: b.tokens, Money: b.usd.Money,
	}, nil
}

func readBudget(raw []byte) (billing.Budget, error) {
	var b budgetBody
	if _, err := b.members().read(raw); err != nil {
		return billing.Budget{}, err
	}
	b.period = cmp.Or(b.period, string(billing.PeriodMonth))
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

func listBudgets(x *exchange) error {
	budgets, err := x.Actions.Store.ListBudgets(x.ctx())
	if err != nil {
		return err
	}
	views := viewsOf(budgets, manage.ViewBudget)
	return paged(x, views, func(b manage.BudgetView) string { return b.ID })
}

// setBudget is POST /budgets: a new budget, or the one with the id, or of the same
// scope and period, changed. What was used of it stays used.
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
	b.ID, b.Scope = id, billing.Scope(scope)
	b, existed, err := x.Actions.SetBudget(x.ctx(), b, scopeID)
	if err != nil {
		return err
	}
	x.subject = b.ID
	return x.json(madeOrFound[existed], manage.ViewBudget(b))
}
