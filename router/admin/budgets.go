package admin

import (
	"cmp"
	"reflect"
	"slices"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
)

// thresholds are percents; null stands for those that a budget has by itself.
type thresholds []int

// UnmarshalJSON reads a list of percents.
func (t *thresholds) UnmarshalJSON(raw []byte) error {
	*t = billing.DefaultThresholds()
	if string(raw) == "null" {
		return nil
	}
	return decodeValue(raw, reflect.ValueOf((*[]int)(t)).Elem())
}

func (thresholds) schema(s *schemas) schema { return orNull(s.of(reflect.TypeFor[[]int](), field{})) }

// budgetMembers are what a budget limits.
type budgetMembers struct {
	Period     string          `json:"period" enum:"concurrent,minute,day,week,month,quarter,year,once" doc:"When it resets; month by default, once is never."`
	Zone       string          `json:"zone" doc:"The time zone of its days, such as Europe/Berlin; by default that of the budget that exists, or UTC."`
	USD        member[*amount] `json:"usd" doc:"Null means no limit in money; left out, that of the budget that exists."`
	Tokens     member[*int64]  `json:"tokens" doc:"Null means no limit in tokens; left out, that of the budget that exists."`
	Requests   member[*int64]  `json:"requests" doc:"Null means no limit in requests; left out, that of the budget that exists."`
	Starts     string          `json:"starts" doc:"First day of the fiscal year as MM-DD, which months, quarters and years follow; 01-01 is the calendar's."`
	Action     string          `json:"action" enum:"block,downgrade,alert" doc:"Near its limit: block refuses what has no room; downgrade does, too, and has the cheapest model answer from the highest threshold below 100 on; alert refuses nothing."`
	Thresholds thresholds      `json:"thresholds" doc:"Percents of the limits of which an event is written; null is 50, 80 and 100."`
}

func (b budgetMembers) budget() manage.BudgetChange {
	return manage.BudgetChange{
		Budget: billing.Budget{
			Period: billing.Period(b.Period), Zone: b.Zone, Tokens: b.Tokens.Value, Money: b.USD.Value.money(),
			Requests: b.Requests.Value, Starts: b.Starts, Action: billing.Action(b.Action), Thresholds: b.Thresholds,
		},
		NoRequests: b.Requests.There && b.Requests.Value == nil,
		NoMoney:    b.USD.There && b.USD.Value == nil, NoTokens: b.Tokens.There && b.Tokens.Value == nil,
	}
}

// ownBudget is a budget of a key's own.
type ownBudget struct{ budgetMembers }

func (b ownBudget) budget() manage.BudgetChange {
	own := b.budgetMembers.budget()
	own.Period = cmp.Or(own.Period, billing.PeriodMonth)
	return own
}

func listBudgets(x *exchange, in paging) (page[manage.NamedBudget], error) {
	budgets, err := x.Actions.Budgets(x.ctx())
	if err != nil {
		return page[manage.NamedBudget]{}, err
	}
	if budgets, err = x.visible(budgets); err != nil {
		return page[manage.NamedBudget]{}, err
	}
	names, err := x.Actions.ScopeNames(x.ctx())
	if err != nil {
		return page[manage.NamedBudget]{}, err
	}
	view := func(b billing.Balance) manage.NamedBudget {
		return manage.NamedBudget{BudgetView: manage.ViewBalance(b), Name: cmp.Or(names[b.Budget.ScopeID], b.Budget.ScopeID)}
	}
	return paged(in, budgets, view, func(b manage.NamedBudget) string { return b.ID })
}

// scopedBudget is the body of setBudget.
type scopedBudget struct {
	budgetMembers
	ID      string `json:"id" doc:"Of the budget that is changed."`
	Scope   string `json:"scope" doc:"org, team, project or key; not needed with an id."`
	ScopeID string `json:"scope_id" doc:"Id or name (of a project: team/project) of what it binds; not needed for org."`
}

// setBudget is POST /budgets: a new budget, or the one with the id, or of the same
// scope and period, changed. What was used of it stays used.
func setBudget(x *exchange, in scopedBudget) (manage.BudgetView, error) {
	c := in.budget()
	c.ID, c.Scope = in.ID, billing.Scope(in.Scope)
	if err := x.maySetBudget(in); err != nil {
		return manage.BudgetView{}, err
	}
	b, existed, err := x.Actions.SetBudget(x.ctx(), c, in.ScopeID, x.by(""))
	if err != nil {
		return manage.BudgetView{}, err
	}
	x.subject = b.ID
	x.status = madeOrFound[existed]
	return manage.ViewBudget(b), nil
}

// maySetBudget asks for what the budget is of: by its id, or by its scope.
func (x *exchange) maySetBudget(in scopedBudget) error {
	if x.access.May(rbac.BudgetsWrite, rbac.Place{}) {
		return nil
	}
	missing := &billing.NotFoundError{What: "budget", ID: in.ID}
	at, err := x.Actions.PlaceOfBudget(x.ctx(), in.ID)
	if in.ID == "" {
		missing = &billing.NotFoundError{What: cmp.Or(in.Scope, "budget"), ID: in.ScopeID}
		at, err = x.Actions.PlaceOf(x.ctx(), billing.Scope(in.Scope), in.ScopeID)
	}
	if err != nil {
		return err
	}
	return x.needs(rbac.BudgetsWrite, at, missing)
}

// visible are the budgets that one may see: of all, or of teams, projects and keys
// within one's places.
func (x *exchange) visible(budgets []billing.Balance) ([]billing.Balance, error) {
	within := x.within(rbac.BudgetsRead)
	if within == nil {
		return budgets, nil
	}
	seen := make(map[string]bool) // ids of teams, projects and keys
	for _, team := range within.Teams {
		seen[team] = true
	}
	projects, err := x.Actions.Projects(x.ctx())
	if err != nil {
		return nil, err
	}
	for _, p := range projects {
		seen[p.ID] = x.access.May(rbac.BudgetsRead, rbac.Place{TeamID: p.TeamID, ProjectID: p.ID})
	}
	f := billing.KeyFilter{Within: within, Limit: 200}
	for more := true; more; {
		var keys []billing.Key
		if keys, more, err = x.Actions.Keys(x.ctx(), f); err != nil {
			return nil, err
		}
		for _, k := range keys {
			seen[string(k.ID)], f.After = true, k.ID
		}
	}
	return slices.DeleteFunc(budgets, func(b billing.Balance) bool { return !seen[b.Budget.ScopeID] }), nil
}
