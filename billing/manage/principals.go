package manage

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/policy"
	"tallyroute/billing/rbac"
)

// PrincipalRequest is a request for a user or a service account.
type PrincipalRequest struct {
	Kind  billing.PrincipalKind // "" is a service
	Name  string
	Email string
}

// Limits on principals.
const (
	maxTokens     = 20 // in force, per principal
	maxGrants     = 50
	mostTokenLife = 366 * 24 * time.Hour
)

// Principals lists everybody who administers.
func (a Actions) Principals(ctx context.Context) ([]billing.Principal, error) {
	return a.Store.ListPrincipals(ctx)
}

// CreatePrincipal makes a user or a service account, which can't do anything yet.
func (a Actions) CreatePrincipal(ctx context.Context, r PrincipalRequest, by By) (billing.Principal, error) {
	p := billing.Principal{
		Kind: r.Kind, Name: strings.TrimSpace(r.Name), Email: strings.TrimSpace(r.Email), CreatedAt: a.now(),
		CreatedBy: by.Actor,
	}
	var faults []error
	if !isName(p.Name, maxName) {
		faults = append(faults, invalid("name", "must be plain text of 1 to %d bytes", maxName))
	}
	if p.Email != "" && !isAddress(p.Email) {
		faults = append(faults, invalid("email", "must be an address such as ann@example.com"))
	}
	switch p.Kind {
	case "", billing.PrincipalService:
		p.Kind, p.ID = billing.PrincipalService, billing.NewID("svc_")
	case billing.PrincipalUser:
		p.ID = billing.NewID("user_")
	default:
		faults = append(faults, invalid("kind", "must be user or service"))
	}
	if err := errors.Join(append(faults, by.check())...); err != nil {
		return billing.Principal{}, err
	}
	note := a.note(by, "principal.create", p.ID)
	note.Detail = map[string]string{"name": p.Name, "kind": string(p.Kind)}
	return p, a.Store.CreatePrincipal(ctx, p, note)
}

// GrantRequest is a request to grant somebody a role.
type GrantRequest struct {
	Role       string
	Scope      billing.Scope // "" is the organisation
	Of         string        // the team or project, by name or id
	ExpiresAt  time.Time
	ApprovedBy string // somebody else who may grant it, by id, name or address; "" is nobody
	Must       string // a condition without which it doesn't apply; "" is none
}

// Grant gives a principal a role. Nobody can give more rights than they have themselves.
func (a Actions) Grant(ctx context.Context, id string, r GrantRequest, by By) (billing.Principal, error) {
	permissions, known := a.AllRoles()[r.Role]
	if !known {
		return billing.Principal{}, invalid("role", "must be one of %s", strings.Join(a.AllRoles().Names(), ", "))
	}
	g := billing.Grant{
		ID: billing.NewID("grant_"), Role: r.Role, Scope: r.Scope, CreatedAt: a.now(), CreatedBy: by.Actor,
		Reason:    strings.TrimSpace(by.Reason),
		ExpiresAt: r.ExpiresAt, Must: strings.TrimSpace(r.Must),
	}
	switch r.Scope {
	case "", billing.ScopeOrg:
		g.Scope = billing.ScopeOrg
	case billing.ScopeTeam, billing.ScopeProject:
	default:
		return billing.Principal{}, invalid("scope", "must be org, team or project")
	}
	if err := errors.Join(checkExpiry(r.ExpiresAt, a.now()), checkMust(g.Must), by.check()); err != nil {
		return billing.Principal{}, err
	}
	scopeID, err := a.scopeID(ctx, g.Scope, r.Of)
	if err != nil {
		return billing.Principal{}, err
	}
	g.ScopeID = scopeID
	place, err := a.placeOf(ctx, g.Scope, scopeID)
	if err != nil {
		return billing.Principal{}, err
	}
	if by.Access.Exceeds(permissions, place, policy.Guard(g.Must)) {
		return billing.Principal{}, &NotAllowedError{Detail: "nobody can grant permissions that they do not have"}
	}
	note := a.note(by, "principal.grant", id)
	note.Detail = map[string]string{"role": g.Role, "scope": string(g.Scope) + " " + g.ScopeID}
	if ref := strings.TrimSpace(r.ApprovedBy); ref != "" {
		approver, err := a.approver(ctx, ref, []string{id, by.PrincipalID}, func(access rbac.Access) bool {
			return access.May(rbac.PrincipalsWrite, rbac.Place{}) && !access.Exceeds(permissions, place, policy.Guard(g.Must))
		})
		if err != nil {
			return billing.Principal{}, err
		}
		g.ApprovedBy, note.Detail["approved_by"] = approver, approver
	}
	if g.Must != "" {
		note.Detail["must"] = g.Must
	}
	return a.Store.UpdatePrincipal(ctx, id, func(p *billing.Principal, _ []billing.Principal) error {
		inForce := 0
		for _, old := range p.Grants {
			if old.InForce(g.CreatedAt) {
				if inForce++; old.Role == g.Role && old.Scope == g.Scope && old.ScopeID == g.ScopeID &&
					old.Must == g.Must && old.ExpiresAt.Equal(g.ExpiresAt) {
					return &billing.ConflictError{Detail: "there is such a grant: " + old.ID}
				}
			}
		}
		if inForce >= maxGrants {
			return &billing.ConflictError{Detail: "it has 50 grants: no more than that can be kept"}
		}
		p.Grants = append(p.Grants, g)
		return nil
	}, note)
}

// approver returns the id of a principal that may approve something: neither one of those
// that it concerns, nor somebody who could not do it himself.
func (a Actions) approver(ctx context.Context, ref string, concerned []string, may func(rbac.Access) bool) (string, error) {
	all, err := a.Store.ListPrincipals(ctx)
	if err != nil {
		return "", err
	}
	found := slices.DeleteFunc(all, func(p billing.Principal) bool {
		return p.ID != ref && p.Name != ref && (p.Email == "" || !strings.EqualFold(p.Email, ref))
	})
	switch {
	case len(found) != 1:
		return "", invalid("approved_by", "must be one principal, by id, name or address")
	case slices.Contains(concerned, found[0].ID):
		return "", invalid("approved_by", "must be somebody other than who grants the role and who gets it")
	case !may(a.AllRoles().Of(found[0], a.now())):
		return "", invalid("approved_by", "must be somebody who may grant the role himself")
	}
	return found[0].ID, nil
}

// Revoke revokes a grant. The last owner of the organisation can't be removed.
func (a Actions) Revoke(ctx context.Context, id, grant string, by By) (billing.Principal, error) {
	note := a.note(by, "principal.revoke", id)
	note.Detail = map[string]string{"grant": grant}
	return a.Store.UpdatePrincipal(ctx, id, func(p *billing.Principal, all []billing.Principal) error {
		i := slices.IndexFunc(p.Grants, func(g billing.Grant) bool { return g.ID == grant && g.EndedAt.IsZero() })
		if i < 0 {
			return &billing.NotFoundError{What: "grant", ID: grant}
		}
		place, err := a.placeOf(ctx, p.Grants[i].Scope, p.Grants[i].ScopeID)
		if err == nil && by.Access.Exceeds(a.AllRoles()[p.Grants[i].Role], place, policy.Guard(p.Grants[i].Must)) {
			return &NotAllowedError{Detail: "nobody can take away permissions that they do not have"}
		}
		note.Detail["role"] = p.Grants[i].Role
		return a.keepingOwner(all, func() { p.Grants[i].EndedAt = a.now() })
	}, note)
}

// DisablePrincipal refuses all tokens of a principal until it is enabled again.
func (a Actions) DisablePrincipal(ctx context.Context, id string, by By) (billing.Principal, error) {
	return a.Store.UpdatePrincipal(ctx, id, func(p *billing.Principal, all []billing.Principal) error {
		if err := a.mayTouch(ctx, *p, by); err != nil || !p.DisabledAt.IsZero() {
			return err
		}
		return a.keepingOwner(all, func() { p.DisabledAt = a.now() })
	}, a.note(by, "principal.disable", id))
}

// EnablePrincipal lets a disabled principal act again.
func (a Actions) EnablePrincipal(ctx context.Context, id string, by By) (billing.Principal, error) {
	return a.Store.UpdatePrincipal(ctx, id, func(p *billing.Principal, _ []billing.Principal) error {
		if err := a.mayTouch(ctx, *p, by); err != nil {
			return err
		}
		p.DisabledAt = time.Time{}
		return nil
	}, a.note(by, "principal.enable", id))
}

// mayTouch refuses to change a principal that may do more than the caller: whoever can make
// its tokens has its rights.
func (a Actions) mayTouch(ctx context.Context, p billing.Principal, by By) error {
	for _, g := range p.Grants {
		if !g.InForce(a.now()) {
			continue
		}
		place, err := a.placeOf(ctx, g.Scope, g.ScopeID)
		if err != nil {
			continue // the object is gone, so the grant gives no rights
		}
		if by.Access.Exceeds(a.AllRoles()[g.Role], place, policy.Guard(g.Must)) {
			return &NotAllowedError{Detail: "it may do more than you may"}
		}
	}
	return nil
}

// CreateToken makes a token for a principal. The secret isn't stored anywhere.
func (a Actions) CreateToken(ctx context.Context, id, name string, life time.Duration, by By) (billing.AdminToken, billing.Secret, error) {
	var faults []error
	if name = strings.TrimSpace(name); !isName(name, maxName) {
		faults = append(faults, invalid("name", "must be plain text of 1 to %d bytes", maxName))
	}
	if life <= 0 || life > mostTokenLife {
		faults = append(faults, invalid("life", "must be above 0 and at most 8784h, which is 366 days"))
	}
	if err := errors.Join(append(faults, by.check())...); err != nil {
		return billing.AdminToken{}, billing.Secret{}, err
	}
	secret, err := billing.NewSecret(billing.EnvironmentAdmin, rand.Reader)
	if err != nil {
		return billing.AdminToken{}, billing.Secret{}, err
	}
	t := billing.AdminToken{
		ID: billing.NewID("token_"), Name: name, Display: secret.Display(), Hash: secret.Hash(a.Pepper), CreatedAt: a.now(),
		CreatedBy: by.Actor,
	}
	t.ExpiresAt = t.CreatedAt.Add(life)
	note := a.note(by, "token.create", t.ID)
	note.Detail = map[string]string{"principal": id, "name": name, "expires_at": t.ExpiresAt.Format(time.RFC3339)}
	_, err = a.Store.UpdatePrincipal(ctx, id, func(p *billing.Principal, _ []billing.Principal) error {
		if err := a.mayTouch(ctx, *p, by); err != nil {
			return err
		}
		inForce := 0
		for _, old := range p.Tokens {
			if old.InForce(t.CreatedAt) {
				inForce++
			}
		}
		if inForce >= maxTokens {
			return &billing.ConflictError{Detail: "it has 20 tokens: no more than that can be kept"}
		}
		p.Tokens = append(p.Tokens, t)
		return nil
	}, note)
	return t, secret, err
}

// EndToken ends a token.
func (a Actions) EndToken(ctx context.Context, id, token string, by By) (billing.Principal, error) {
	note := a.note(by, "token.end", token)
	note.Detail = map[string]string{"principal": id}
	return a.Store.UpdatePrincipal(ctx, id, func(p *billing.Principal, _ []billing.Principal) error {
		i := slices.IndexFunc(p.Tokens, func(t billing.AdminToken) bool { return t.ID == token })
		if i < 0 {
			return &billing.NotFoundError{What: "token", ID: token}
		}
		if err := a.mayTouch(ctx, *p, by); err != nil {
			return err
		}
		if p.Tokens[i].EndedAt.IsZero() {
			p.Tokens[i].EndedAt = a.now()
		}
		return nil
	}, note)
}

// hasOwner reports whether somebody may do everything, unconditionally.
func (a Actions) hasOwner(all []billing.Principal) bool {
	return slices.ContainsFunc(all, func(p billing.Principal) bool {
		return p.DisabledAt.IsZero() && slices.ContainsFunc(p.Grants, func(g billing.Grant) bool {
			return g.Role == rbac.Owner && g.Scope == billing.ScopeOrg && g.Must == "" && g.InForce(a.now())
		})
	})
}

// keepingOwner makes a change, unless it would remove the last owner of the organisation.
func (a Actions) keepingOwner(all []billing.Principal, change func()) error {
	had := a.hasOwner(all)
	if change(); had && !a.hasOwner(all) {
		return &billing.ConflictError{Detail: "it is the last owner of the organisation: make another one first"}
	}
	return nil
}

// AllRoles returns the roles that can be granted.
func (a Actions) AllRoles() rbac.Roles {
	if a.Roles == nil {
		return rbac.BuiltIn()
	}
	return a.Roles
}

// PlaceOf returns the place of a team or a project, given its name or id.
func (a Actions) PlaceOf(ctx context.Context, scope billing.Scope, ref string) (rbac.Place, error) {
	id, err := a.scopeID(ctx, scope, ref)
	if err != nil {
		return rbac.Place{}, err
	}
	return a.placeOf(ctx, scope, id)
}

// PlaceOfBudget returns the place of what a budget applies to.
func (a Actions) PlaceOfBudget(ctx context.Context, id string) (rbac.Place, error) {
	b, err := a.Budget(ctx, id)
	if err != nil {
		return rbac.Place{}, err
	}
	return a.placeOf(ctx, b.Scope, b.ScopeID)
}

// PlaceOfOwner returns the place of a project of a team, both given by name or id, or a
// *billing.NotFoundError if either is new. Without a project it is the place of the team;
// without a team, that of the project.
func (a Actions) PlaceOfOwner(ctx context.Context, team, project string) (rbac.Place, error) {
	all, err := a.Store.ListProjects(ctx)
	if err != nil {
		return rbac.Place{}, err
	}
	team = cmp.Or(team, defaultTeamOf(project))
	for _, p := range all {
		ofTeam := team == "" || team == p.Team || team == p.TeamID
		if p.ArchivedAt.IsZero() && ofTeam && (project == p.Name || project == p.ID) {
			return rbac.Place{TeamID: p.TeamID, ProjectID: p.ID}, nil
		}
	}
	if project != "" || team == "" {
		return rbac.Place{}, &billing.NotFoundError{What: "project", ID: project}
	}
	return a.PlaceOf(ctx, billing.ScopeTeam, team)
}

// defaultTeamOf returns the team of a key that names neither a team nor a project.
func defaultTeamOf(project string) string {
	if project == "" {
		return defaultTeam
	}
	return ""
}

// placeOf returns the place of a scope.
func (a Actions) placeOf(ctx context.Context, scope billing.Scope, id string) (rbac.Place, error) {
	switch scope {
	case billing.ScopeOrg, billing.ScopeTemporary:
	case billing.ScopeTeam:
		return rbac.Place{TeamID: id}, nil
	case billing.ScopeProject:
		return a.placeOfProject(ctx, id)
	case billing.ScopeKey:
		k, err := a.Key(ctx, billing.KeyID(id))
		return rbac.Place{TeamID: k.TeamID, ProjectID: k.ProjectID}, err
	}
	return rbac.Place{}, nil
}

// placeOfProject returns the place of a project, given its id.
func (a Actions) placeOfProject(ctx context.Context, id string) (rbac.Place, error) {
	all, err := a.Store.ListProjects(ctx)
	if err != nil {
		return rbac.Place{}, err
	}
	for _, p := range all {
		if p.ID == id {
			return rbac.Place{TeamID: p.TeamID, ProjectID: p.ID}, nil
		}
	}
	return rbac.Place{}, &billing.NotFoundError{What: "project", ID: id}
}

// NotAllowedError means that the caller has no permission for an act.
type NotAllowedError struct{ Detail string }

func (e *NotAllowedError) Error() string { return e.Detail }

// PrincipalView is a principal in JSON.
type PrincipalView struct {
	ID         string                `json:"id"`
	Kind       billing.PrincipalKind `json:"kind" enum:"user,service"`
	Name       string                `json:"name"`
	Email      string                `json:"email"`
	Status     string                `json:"status" enum:"active,disabled"`
	CreatedAt  *string               `json:"created_at"`
	CreatedBy  string                `json:"created_by"`
	LastSeenAt *string               `json:"last_seen_at"`
	Grants     []GrantView           `json:"grants" doc:"The grants in force."`
	Tokens     []TokenView           `json:"tokens" doc:"The tokens in force."`
}

// PlacedRole is a role and where it applies.
type PlacedRole struct {
	Role    string        `json:"role"`
	Scope   billing.Scope `json:"scope" enum:"org,team,project"`
	ScopeID string        `json:"scope_id"`
	Must    string        `json:"must" doc:"The condition under which it counts; empty means always."`
	Holds   bool          `json:"holds" doc:"Whether that is true at present."`
}

// ViewAccess returns the roles that an access consists of.
func ViewAccess(a rbac.Access) []PlacedRole {
	list := []PlacedRole{}
	for _, one := range a.Roles() {
		list = append(list, PlacedRole{one.Role, one.Scope, one.ID, string(one.Must), one.Holds})
	}
	return list
}

// GrantView is a grant in JSON.
type GrantView struct {
	ID         string        `json:"id"`
	Role       string        `json:"role"`
	Scope      billing.Scope `json:"scope" enum:"org,team,project"`
	ScopeID    string        `json:"scope_id"`
	CreatedAt  *string       `json:"created_at"`
	CreatedBy  string        `json:"created_by"`
	ApprovedBy string        `json:"approved_by"`
	Reason     string        `json:"reason"`
	ExpiresAt  *string       `json:"expires_at"`
	Must       string        `json:"must" doc:"The condition under which it counts; empty means always."`
}

// TokenView is a token in JSON, without its secret.
type TokenView struct {
	ID         string  `json:"id"`
	Name       string  `json:"name"`
	Display    string  `json:"display"`
	CreatedAt  *string `json:"created_at"`
	CreatedBy  string  `json:"created_by"`
	ExpiresAt  *string `json:"expires_at"`
	LastUsedAt *string `json:"last_used_at"`
}

// ViewPrincipal converts a principal, as it is at an instant, to JSON form.
func ViewPrincipal(p billing.Principal, now time.Time) PrincipalView {
	v := PrincipalView{
		ID: p.ID, Kind: p.Kind, Name: p.Name, Email: p.Email, Status: "active", CreatedAt: Instant(p.CreatedAt), CreatedBy: p.CreatedBy,
		LastSeenAt: Instant(p.LastSeenAt), Grants: []GrantView{}, Tokens: []TokenView{},
	}
	if !p.DisabledAt.IsZero() {
		v.Status = "disabled"
	}
	for _, g := range p.Grants {
		if g.InForce(now) {
			v.Grants = append(v.Grants, GrantView{
				g.ID, g.Role, g.Scope, g.ScopeID, Instant(g.CreatedAt), g.CreatedBy, g.ApprovedBy, g.Reason, Instant(g.ExpiresAt),
				g.Must,
			})
		}
	}
	for _, t := range p.Tokens {
		if t.InForce(now) {
			v.Tokens = append(v.Tokens, ViewToken(t))
		}
	}
	return v
}

// ViewToken converts a token to JSON form.
func ViewToken(t billing.AdminToken) TokenView {
	return TokenView{t.ID, t.Name, t.Display, Instant(t.CreatedAt), t.CreatedBy, Instant(t.ExpiresAt), Instant(t.LastUsedAt)}
}
