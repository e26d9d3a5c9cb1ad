package manage

import (
	"context"
	"slices"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/policy"
	"tallyroute/billing/rbac"
)

// checkMust refuses a condition that can't be evaluated.
func checkMust(must string) error {
	if detail := policy.Guard(must).Fault(); detail != "" {
		return invalid("must", "%s", detail)
	}
	return nil
}

// Who returns the facts about a principal that conditions of grants can use.
func Who(p billing.Principal) policy.PrincipalFacts {
	return policy.PrincipalFacts{ID: p.ID, Name: p.Name, Kind: string(p.Kind), Email: p.Email}
}

// GrantTrial is an administrative act to be evaluated without doing it.
type GrantTrial struct {
	policy.Acting            // the principal and the time are filled in
	At            time.Time  // zero is now
	Place         rbac.Place // of the object; the zero value is the organisation
	Draft         string     // replaces the conditions of all grants; "" leaves them
}

// GrantVerdict is the result of a trial.
type GrantVerdict struct {
	Allowed bool         `json:"allowed"`
	Role    string       `json:"role,omitempty" doc:"The role that allows it."`
	Detail  string       `json:"detail,omitempty" doc:"Why it does not hold."`
	Grants  []PlacedRole `json:"grants" doc:"The grants in force, and whether their conditions would be true."`
}

// TryGrants says whether the grants of a principal allow an act, and which conditions
// prevent it. Nothing is changed.
func (a Actions) TryGrants(ctx context.Context, id string, t GrantTrial) (GrantVerdict, error) {
	if err := checkMust(t.Draft); err != nil {
		return GrantVerdict{}, err
	}
	all, err := a.Store.ListPrincipals(ctx)
	if err != nil {
		return GrantVerdict{}, err
	}
	i := slices.IndexFunc(all, func(p billing.Principal) bool { return p.ID == id })
	if i < 0 {
		return GrantVerdict{}, &billing.NotFoundError{What: "principal", ID: id}
	}
	p := all[i]
	if t.Draft != "" {
		for i := range p.Grants {
			p.Grants[i].Must = t.Draft
		}
	}
	if t.At.IsZero() {
		t.At = a.now()
	}
	t.Principal, t.Time = Who(p), policy.Instant(t.At)
	access := a.AllRoles().Of(p, t.At).Under(&t.Acting)
	v := GrantVerdict{Grants: ViewAccess(access)}
	needed := rbac.Permission(t.Act.Permission)
	if v.Role, v.Allowed = access.Role(needed, t.Place); !v.Allowed {
		v.Detail = Lacks(access, needed, t.Place)
	}
	return v, nil
}

// Lacks says what is missing for a permission: the condition of a grant, or the permission
// itself.
func Lacks(access rbac.Access, p rbac.Permission, at rbac.Place) string {
	if must := access.Lacking(p, at); must != "" {
		return "the grant of " + string(p) + " has a condition that is not true: " + string(must)
	}
	return "it needs the permission " + string(p)
}
