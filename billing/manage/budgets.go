package manage

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"tallyroute/billing"
)

// orgID is what a budget of the whole organisation is set on.
const orgID = "org"

// same reports whether two budgets are one: what a key, project, team or the
// organisation may use in one kind of period is limited once. The zone, and
// what is limited, are what one changes of it.
func same(a, b billing.Budget) bool {
	return a.Scope == b.Scope && a.ScopeID == b.ScopeID && a.Period == b.Period
}

// SetBudget sets a budget. The one with its ID, or else the one that is the same,
// is changed: then existed, and what was used of it stays used. Of names an ID,
// or the name of the team ("web") or project ("web/shop"), that it is set on; ScopeID
// is filled in.
func (a Actions) SetBudget(ctx context.Context, b billing.Budget, of string, by By) (set billing.Budget, existed bool, err error) {
	if err := by.check(); err != nil {
		return b, false, err
	}
	all, err := a.Store.ListBudgets(ctx)
	if err != nil {
		return b, false, err
	}
	i := -1
	if b.ID != "" {
		if i = slices.IndexFunc(all, func(o billing.Budget) bool { return o.ID == b.ID }); i < 0 {
			return b, false, &billing.NotFoundError{What: "budget", ID: b.ID}
		}
		b = changed(all[i], b)
	} else {
		b.Period = cmp.Or(b.Period, billing.PeriodMonth)
		if b.ScopeID, err = a.scopeID(ctx, b.Scope, of); err != nil {
			return b, false, err
		}
		if i = slices.IndexFunc(all, func(o billing.Budget) bool { return same(o, b) }); i >= 0 {
			b.ID = all[i].ID
		}
	}
	b.ID = cmp.Or(b.ID, billing.NewID("bud_"))
	if err := b.Validate(); err != nil {
		return b, false, &billing.FieldError{Code: "invalid_value", Detail: strings.ReplaceAll(err.Error(), "billing: budget: ", "")}
	}
	note := a.note(by, "budget.create", b.ID)
	note.Detail = differences(struct{}{}, ViewBudget(b))
	if i >= 0 {
		note.Action, note.Detail = "budget.change", differences(ViewBudget(all[i]), ViewBudget(b))
	}
	return b, i >= 0, a.Store.SetBudget(ctx, b, a.now(), note)
}

// changed is a budget with what the change says of it.
func changed(b, change billing.Budget) billing.Budget {
	b.Period, b.Zone = cmp.Or(change.Period, b.Period), cmp.Or(change.Zone, b.Zone)
	if change.Tokens != nil || change.Money != nil {
		b.Tokens, b.Money = change.Tokens, change.Money
	}
	return b
}

// scopeID finds what a budget is set on, by id or name.
func (a Actions) scopeID(ctx context.Context, scope billing.Scope, of string) (string, error) {
	switch scope {
	case billing.ScopeOrg:
		if of != "" && of != orgID {
			return "", invalid("scope_id", "must be %q, or left out", orgID)
		}
		return orgID, nil
	case billing.ScopeKey:
		k, err := a.Key(ctx, billing.KeyID(of))
		return string(k.ID), err
	case billing.ScopeTeam, billing.ScopeProject:
	default:
		return "", invalid("scope", "must be org, team, project or key")
	}
	if of == "" {
		return "", invalid("scope_id", "must say which %s", scope)
	}
	names, err := a.ScopeNames(ctx)
	if err != nil {
		return "", err
	}
	prefix := map[billing.Scope]string{billing.ScopeTeam: "team_", billing.ScopeProject: "proj_"}[scope]
	for id, name := range names {
		if strings.HasPrefix(id, prefix) && (id == of || name == of) {
			return id, nil
		}
	}
	return "", &billing.NotFoundError{What: string(scope), ID: of}
}

// ScopeNames maps the ids of teams and projects to their names, "web" and "web/shop".
func (a Actions) ScopeNames(ctx context.Context) (map[string]string, error) {
	teams, err := a.Store.ListTeams(ctx)
	if err != nil {
		return nil, err
	}
	projects, err := a.Store.ListProjects(ctx)
	if err != nil {
		return nil, err
	}
	names := map[string]string{orgID: "everybody"}
	for _, t := range teams {
		names[t.ID] = t.Name
	}
	for _, p := range projects {
		names[p.ID] = p.Team + "/" + p.Name
	}
	return names, nil
}

// SetBudgets makes budgets the key's own, as a change for ChangeKey. One that is the same as one that there
// was is that one, changed: what was used stays used.
func SetBudgets(k *billing.Key, budgets []billing.Budget) {
	own := k.Budgets
	k.Budgets = slices.DeleteFunc(slices.Clone(k.Budgets), func(b billing.Budget) bool { return b.Scope == billing.ScopeKey })
	for _, b := range budgets {
		b.Scope, b.ScopeID = billing.ScopeKey, string(k.ID)
		b.ID = billing.NewID("bud_")
		if i := slices.IndexFunc(own, func(old billing.Budget) bool { return same(old, b) }); i >= 0 {
			b.ID = own[i].ID
			own = slices.Delete(slices.Clone(own), i, i+1)
		}
		k.Budgets = append(k.Budgets, b)
	}
}
