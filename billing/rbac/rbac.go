// Package rbac says who may do what: permissions, the roles that are sets of them, and what
// a principal's grants amount to at an instant. It does no I/O.
package rbac

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/policy"
)

// Permission is one kind of act. Every route of the admin API needs one.
type Permission string

// The permissions.
const (
	KeysRead        Permission = "keys.read"
	KeysWrite       Permission = "keys.write"  // make, change, rotate, hand over
	KeysRevoke      Permission = "keys.revoke" // revoke, disable, archive
	KeysOwn         Permission = "keys.own"    // make and revoke one's own keys, within the team's ceiling
	OwnersRead      Permission = "owners.read"
	OwnersWrite     Permission = "owners.write"
	BudgetsRead     Permission = "budgets.read"
	BudgetsWrite    Permission = "budgets.write"
	SpendRead       Permission = "spend.read"
	SpendAdjust     Permission = "spend.adjust"
	PeriodsRead     Permission = "periods.read"
	PeriodsWrite    Permission = "periods.write"
	PricesRead      Permission = "prices.read"
	PricesWrite     Permission = "prices.write"
	RejectsRead     Permission = "rejects.read"
	RejectsBook     Permission = "rejects.book"
	ReplicasRead    Permission = "replicas.read"
	ReplicasForget  Permission = "replicas.forget"
	ProvidersRead   Permission = "providers.read"
	ProvidersWrite  Permission = "providers.write" // store, change and end providers and credentials
	EventsRead      Permission = "events.read"
	AlertsWrite     Permission = "alerts.write" // send again, test channels
	AccessRead      Permission = "access.read"
	AccessErase     Permission = "access.erase"
	IntegrityRead   Permission = "integrity.read"
	AuditRead       Permission = "audit.read"
	AuditExport     Permission = "audit.export"
	AuditPrune      Permission = "audit.prune"
	PrincipalsRead  Permission = "principals.read"
	PrincipalsWrite Permission = "principals.write"
	// GovernanceWrite covers setting the organisation's rules and signing off access
	// reviews.
	GovernanceRead  Permission = "governance.read"
	GovernanceWrite Permission = "governance.write"
	// Any is what every principal is allowed to do.
	Any Permission = "any"
)

var all = []Permission{
	KeysRead, KeysWrite, KeysRevoke, KeysOwn, OwnersRead, OwnersWrite, BudgetsRead, BudgetsWrite, SpendRead, SpendAdjust, PeriodsRead,
	PeriodsWrite,
	PricesRead, PricesWrite, RejectsRead, RejectsBook, ReplicasRead, ReplicasForget, ProvidersRead, ProvidersWrite, EventsRead, AlertsWrite,
	AccessRead, AccessErase,
	IntegrityRead, AuditRead, AuditExport, AuditPrune, PrincipalsRead, PrincipalsWrite,
	GovernanceRead, GovernanceWrite,
}

// Permissions returns all the permissions that a role can have.
func Permissions() []Permission { return slices.Clone(all) }

// Owner is the role that may do everything.
const Owner = "owner"

// Roles are named sets of permissions.
type Roles map[string][]Permission

// BuiltIn returns the built-in roles.
func BuiltIn() Roles {
	reads := slices.DeleteFunc(Permissions(), func(p Permission) bool { return !strings.HasSuffix(string(p), ".read") })
	return Roles{
		Owner:   Permissions(),
		"admin": without(Permissions(), SpendAdjust, PeriodsWrite, AccessErase, AuditPrune, GovernanceWrite),
		// Security stops the use of keys and reads what happened; it issues nothing.
		"security": {
			KeysRead, KeysRevoke, OwnersRead, BudgetsRead, SpendRead, EventsRead, AlertsWrite, AccessRead, AccessErase,
			IntegrityRead, AuditRead,
			AuditExport, PrincipalsRead, ProvidersRead, GovernanceRead, GovernanceWrite,
		},
		// Platform runs the router, and has no access to virtual keys.
		"platform": {
			ProvidersRead, ProvidersWrite, PricesRead, ReplicasRead, ReplicasForget, RejectsRead, RejectsBook, EventsRead, AlertsWrite,
			IntegrityRead,
		},
		"team-lead": {
			KeysRead, KeysWrite, KeysRevoke, KeysOwn, OwnersRead, OwnersWrite, BudgetsRead, BudgetsWrite, SpendRead, PricesRead,
		},
		"developer": {KeysRead, KeysWrite, KeysRevoke, KeysOwn, OwnersRead, BudgetsRead, SpendRead, PricesRead},
		// Members have only what they make for themselves, and see nothing of anybody
		// else's.
		"member": {KeysOwn},
		"finance": {
			KeysRead, OwnersRead, BudgetsRead, SpendRead, SpendAdjust, PeriodsRead, PeriodsWrite, PricesRead, PricesWrite, RejectsRead,
			IntegrityRead,
		},
		"auditor":   append(slices.Clone(reads), AuditExport),
		"read-only": without(reads, AuditRead, AccessRead, PrincipalsRead),
	}
}

func without(from []Permission, some ...Permission) []Permission {
	return slices.DeleteFunc(slices.Clone(from), func(p Permission) bool { return slices.Contains(some, p) })
}

// NewRoles returns the built-in roles together with an organisation's own.
func NewRoles(own map[string][]string) (Roles, error) {
	roles := BuiltIn()
	for _, name := range slices.Sorted(maps.Keys(own)) {
		if _, taken := roles[name]; taken {
			return nil, fmt.Errorf("role %q is built in: choose another name", name)
		}
		if name == "" || name != strings.TrimSpace(name) {
			return nil, fmt.Errorf("role %q: it needs a name", name)
		}
		roles[name] = []Permission{}
		for _, text := range own[name] {
			p := Permission(text)
			if !slices.Contains(all, p) {
				return nil, fmt.Errorf("role %q: %q is not a permission; there are %s", name, text, listed(all))
			}
			roles[name] = append(roles[name], p)
		}
	}
	return roles, nil
}

func listed(permissions []Permission) string {
	texts := make([]string, len(permissions))
	for i, p := range permissions {
		texts[i] = string(p)
	}
	return strings.Join(texts, ", ")
}

// Names returns the names of the roles.
func (r Roles) Names() []string { return slices.Sorted(maps.Keys(r)) }

// Place says what an act is about: a project of a team, a team (ProjectID is empty), or the
// organisation (both are empty).
type Place struct{ TeamID, ProjectID string }

// Access is what somebody may do, and where. The zero value allows nothing.
type Access struct {
	everything bool
	parts      []part
	guarded    []part // only effective if their conditions hold; see Under
}

type part struct {
	role        string
	permissions []Permission
	scope       billing.Scope
	id          string
	must        policy.Guard
}

// Everything returns the access of the static admin token and of the host itself.
func Everything() Access { return Access{everything: true} }

// Full reports whether this is the access that Everything returns.
func (a Access) Full() bool { return a.everything }

// Of returns what a principal's grants amount to at an instant. A role that is no longer
// defined gives nothing.
func (r Roles) Of(p billing.Principal, now time.Time) Access {
	var a Access
	if !p.DisabledAt.IsZero() {
		return a
	}
	for _, g := range p.Grants {
		one := part{g.Role, r[g.Role], g.Scope, g.ScopeID, policy.Guard(g.Must)}
		switch {
		case !g.InForce(now):
		case g.Must == "":
			a.parts = append(a.parts, one)
		default:
			a.guarded = append(a.guarded, one)
		}
	}
	return a
}

// Under returns the access including the grants whose conditions hold.
func (a Access) Under(facts *policy.Acting) Access {
	b := Access{everything: a.everything, parts: slices.Clone(a.parts)}
	for _, one := range a.guarded {
		if one.must.Holds(facts) {
			b.parts = append(b.parts, one)
		} else {
			b.guarded = append(b.guarded, one)
		}
	}
	return b
}

// Lacking returns the condition that stands in the way of a permission at a place, or
// anywhere if the place is the organisation; "" if it isn't a condition.
func (a Access) Lacking(p Permission, at Place) policy.Guard {
	for _, one := range a.guarded {
		if (at == (Place{}) || one.covers(at)) && (p == Any || slices.Contains(one.permissions, p)) {
			return one.must
		}
	}
	return ""
}

// Role returns the role that gives a permission at a place; it is empty for the static
// admin token. ok is false if there is none.
func (a Access) Role(p Permission, at Place) (role string, ok bool) {
	if a.everything {
		return "", true
	}
	for _, part := range a.parts {
		if part.covers(at) && (p == Any || slices.Contains(part.permissions, p)) {
			return part.role, true
		}
	}
	return "", false
}

// Anywhere is Role for any place.
func (a Access) Anywhere(p Permission) (role string, ok bool) {
	if a.everything {
		return "", true
	}
	for _, part := range a.parts {
		if p == Any || slices.Contains(part.permissions, p) {
			return part.role, true
		}
	}
	if p == Any && len(a.guarded) > 0 { // needed to find out which condition it is, or to log out
		return a.guarded[0].role, true
	}
	return "", false
}

// Placed is a role, where it applies, and the condition under which it does.
type Placed struct {
	Role  string
	Scope billing.Scope
	ID    string
	Must  policy.Guard
	Holds bool
}

// Roles returns the roles that an access consists of.
func (a Access) Roles() (list []Placed) {
	for _, one := range a.parts {
		list = append(list, Placed{one.role, one.scope, one.id, one.must, true})
	}
	for _, one := range a.guarded {
		list = append(list, Placed{one.role, one.scope, one.id, one.must, false})
	}
	return list
}

// May reports whether a permission is given at a place.
func (a Access) May(p Permission, at Place) bool {
	_, ok := a.Role(p, at)
	return ok
}

// Exceeds reports whether a conditional grant would give something that a doesn't have, or
// has only under another condition: nobody can give what they don't have.
func (a Access) Exceeds(permissions []Permission, at Place, must policy.Guard) bool {
	for _, p := range permissions {
		if !a.everything && !slices.ContainsFunc(a.parts, func(one part) bool {
			return one.covers(at) && slices.Contains(one.permissions, p) && (one.must == "" || one.must == must)
		}) {
			return true
		}
	}
	return false
}

// Places returns where a permission is given; everywhere means all places.
func (a Access) Places(p Permission) (teams, projects []string, everywhere bool) {
	if a.everything {
		return nil, nil, true
	}
	for _, part := range a.parts {
		if !slices.Contains(part.permissions, p) {
			continue
		}
		switch part.scope {
		case billing.ScopeOrg:
			return nil, nil, true
		case billing.ScopeTeam:
			teams = append(teams, part.id)
		case billing.ScopeProject:
			projects = append(projects, part.id)
		case billing.ScopeKey, billing.ScopeTemporary: // never granted to anybody
		}
	}
	return teams, projects, false
}

func (g part) covers(at Place) bool {
	switch g.scope {
	case billing.ScopeOrg:
		return true
	case billing.ScopeTeam:
		return at.TeamID == g.id && g.id != ""
	case billing.ScopeProject:
		return at.ProjectID == g.id && g.id != ""
	case billing.ScopeKey, billing.ScopeTemporary: // never granted to anybody
	}
	return false
}
