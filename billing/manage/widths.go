package manage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tallyroute/billing"
)

// excess is a limit of one budget that is wider than the same limit of a budget above it.
type excess struct {
	field         string // usd, tokens or requests
	child, parent string
}

// excesses returns the limits of child that are wider than those of parent. Budgets that
// only alert limit nobody, and periods of different length aren't compared.
func excesses(child, parent billing.Budget) (list []excess) {
	if child.Period != parent.Period || child.Part != parent.Part || child.Named != parent.Named || !child.Binds() || !parent.Binds() {
		return nil
	}
	if c, p := child.Money, parent.Money; c != nil && p != nil && *c > *p {
		list = append(list, excess{"usd", "$" + c.Short(), "$" + p.Short()})
	}
	if c, p := child.Tokens, parent.Tokens; c != nil && p != nil && *c > *p {
		list = append(list, excess{"tokens", tokenText(*c), tokenText(*p)})
	}
	if c, p := child.Requests, parent.Requests; c != nil && p != nil && *c > *p {
		list = append(list, excess{"requests", fmt.Sprintf("%d requests", *c), fmt.Sprintf("%d requests", *p)})
	}
	return list
}

// holder is what a budget is set on, with what it belongs to. Everything belongs to the
// organisation.
type holder struct {
	name          string
	team, project string // ids
	ended         bool
}

// in reports whether a budget set on something else applies to h.
func (h holder) in(b billing.Budget) bool {
	switch b.Scope {
	case billing.ScopeTeam:
		return h.team == b.ScopeID
	case billing.ScopeProject:
		return h.project == b.ScopeID
	case billing.ScopeOrg:
		return true
	case billing.ScopeKey, billing.ScopeTemporary: // below all others
	}
	return false
}

func keyHolder(k *billing.Key) holder {
	return holder{fmt.Sprintf("key %s (%s)", k.Name, k.ID), k.TeamID, k.ProjectID, !k.RevokedAt.IsZero()}
}

// rank returns how wide the scope of a budget is.
func rank(b billing.Budget) int {
	return slices.Index([]billing.Scope{billing.ScopeKey, billing.ScopeProject, billing.ScopeTeam, billing.ScopeOrg}, b.Scope)
}

// holders returns everything that budgets are set on, by id; keys only if one of the
// budgets is a key's.
func (a Actions) holders(ctx context.Context, budgets []billing.Budget) (map[string]holder, error) {
	found := map[string]holder{orgID: {name: "the organisation"}}
	teams, err := a.Store.ListTeams(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range teams {
		found[t.ID] = holder{name: "team " + t.Name, ended: !t.ArchivedAt.IsZero()}
	}
	projects, err := a.Store.ListProjects(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range projects {
		found[p.ID] = holder{name: "project " + p.Team + "/" + p.Name, team: p.TeamID, ended: !p.ArchivedAt.IsZero()}
	}
	if !slices.ContainsFunc(budgets, func(b billing.Budget) bool { return b.Scope == billing.ScopeKey }) {
		return found, nil
	}
	for f := (billing.KeyFilter{Now: a.now()}); ; {
		keys, err := a.Store.ListKeys(ctx, f)
		if err != nil || len(keys) == 0 {
			return found, err
		}
		for i := range keys {
			found[string(keys[i].ID)], f.After = keyHolder(&keys[i]), keys[i].ID
		}
	}
}

// budgetWithin refuses a budget that is wider than one above it, or narrower than one
// below. It checks before the change is written: two concurrent changes may both pass, but
// then the narrower budget still applies.
func (a Actions) budgetWithin(ctx context.Context, b billing.Budget, all []billing.Budget) error {
	if b.Validate() != nil {
		return nil // the code that writes it reports that
	}
	apart := []billing.Budget{}
	for _, o := range all {
		if child, parent := ordered(b, o); rank(o) != rank(b) && len(excesses(child, parent)) > 0 {
			apart = append(apart, o)
		}
	}
	if len(apart) == 0 {
		return nil
	}
	found, err := a.holders(ctx, append(apart, b))
	if err != nil {
		return err
	}
	for _, o := range apart {
		child, parent := ordered(b, o)
		if h := found[child.ScopeID]; h.in(parent) && !h.ended {
			return tooWideBudget(child, parent, h.name, found[parent.ScopeID].name)
		}
	}
	return nil
}

// ordered returns two budgets, the one with the narrower scope first.
func ordered(a, b billing.Budget) (child, parent billing.Budget) {
	if rank(a) > rank(b) {
		return b, a
	}
	return a, b
}

func tooWideBudget(child, parent billing.Budget, childName, parentName string) error {
	var faults []error
	for _, e := range excesses(child, parent) {
		faults = append(faults, invalid(e.field, "%s of %s would be wider than %s of %s, both per %s", e.child, childName, e.parent,
			parentName, parent.Period))
	}
	return errors.Join(faults...)
}

// keyBudgetsWithin refuses a key that has a budget wider than one above it.
func keyBudgetsWithin(k *billing.Key, all []billing.Budget) error {
	names := map[billing.Scope]string{
		billing.ScopeProject: "project " + k.Team + "/" + k.Project, billing.ScopeTeam: "team " + k.Team,
		billing.ScopeOrg: "the organisation",
	}
	h := keyHolder(k)
	var faults []error
	for _, b := range k.Budgets {
		for _, o := range all {
			if b.Scope == billing.ScopeKey && h.in(o) {
				faults = append(faults, tooWideBudget(b, o, h.name, names[o.Scope]))
			}
		}
	}
	return errors.Join(faults...)
}

// ownBudgets returns the budgets that belong to the key alone.
func ownBudgets(k *billing.Key) []billing.Budget {
	return slices.DeleteFunc(slices.Clone(k.Budgets), func(b billing.Budget) bool { return b.Scope != billing.ScopeKey })
}
