package admin

import (
	"net/http"
	"net/netip"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/policy"
	"tallyroute/billing/rbac"
	"tallyroute/router/admin/wire"
)

// Self is the caller, and what the caller may do.
type Self struct {
	Actor  string              `json:"actor"`
	Full   bool                `json:"full" doc:"Everything is allowed everywhere, as with the static token."`
	Grants []manage.PlacedRole `json:"grants"`
	// Session is the login, with the token that a page sends along with its cookie.
	Session *manage.SessionView `json:"session"`
	CSRF    string              `json:"csrf_token,omitempty" doc:"A page must send it as X-CSRF-Token with every change."`
}

func whoAmI(x *exchange, _ none) (Self, error) {
	me := Self{Actor: x.who, Full: x.access.Full(), Grants: manage.ViewAccess(x.access), CSRF: x.csrf}
	if x.session != nil {
		v := manage.ViewSession(*x.session)
		me.Session = &v
	}
	return me, nil
}

// Roles are the available roles.
type Roles struct {
	Data []Role `json:"data"`
}

// Role is a named set of permissions.
type Role struct {
	Name        string            `json:"name"`
	Permissions []rbac.Permission `json:"permissions"`
}

func listRoles(x *exchange, _ none) (Roles, error) {
	list := Roles{Data: []Role{}}
	all := x.Actions.AllRoles()
	for _, name := range all.Names() {
		list.Data = append(list.Data, Role{name, all[name]})
	}
	return list, nil
}

func (x *exchange) viewPrincipal(p billing.Principal) manage.PrincipalView {
	return manage.ViewPrincipal(p, x.Start)
}

func listPrincipals(x *exchange, in wire.Paging) (wire.Page[manage.PrincipalView], error) {
	all, err := x.Actions.Principals(x.ctx())
	if err != nil {
		return wire.Page[manage.PrincipalView]{}, err
	}
	return wire.Paged(in, all, x.viewPrincipal, func(p manage.PrincipalView) string { return p.ID })
}

// newPrincipal is the body of createPrincipal.
type newPrincipal struct {
	Name  string `json:"name" required:"true"`
	Kind  string `json:"kind" enum:"user,service" doc:"Default: service."`
	Email string `json:"email"`
}

func createPrincipal(x *exchange, in newPrincipal) (manage.PrincipalView, error) {
	p, err := x.Actions.CreatePrincipal(x.ctx(), manage.PrincipalRequest{
		Kind: billing.PrincipalKind(in.Kind), Name: in.Name, Email: in.Email,
	}, x.by(""))
	if err != nil {
		return manage.PrincipalView{}, err
	}
	x.subject, x.status = p.ID, http.StatusCreated
	return x.viewPrincipal(p), nil
}

func disablePrincipal(x *exchange, in rehearsable) (manage.PrincipalView, error) {
	return viewed(x.viewPrincipal)(x.Actions.DisablePrincipal(x.ctx(), x.param("id"), x.by(in.Reason)))
}

func enablePrincipal(x *exchange, in reasoned) (manage.PrincipalView, error) {
	return viewed(x.viewPrincipal)(x.Actions.EnablePrincipal(x.ctx(), x.param("id"), x.by(in.Reason)))
}

// newGrant is the body of grantRole.
type newGrant struct {
	Role       string         `json:"role" required:"true"`
	Scope      string         `json:"scope" enum:"org,team,project" doc:"Default: org."`
	ScopeID    string         `json:"scope_id" doc:"Id or name (for a project, team/project); not needed for org."`
	ExpiresIn  *wire.Duration `json:"expires_in" doc:"How long it is valid. Default: until it is revoked."`
	ApprovedBy string         `json:"approved_by" doc:"Who agreed, by id, name or address: another principal that may grant it."`
	Must       string         `json:"must" doc:"The condition under which it counts, such as in_range(address, '10.0.0.0/8')."`
	Reason     string         `json:"reason"`
}

func grantRole(x *exchange, in newGrant) (manage.PrincipalView, error) {
	r := manage.GrantRequest{Role: in.Role, Scope: billing.Scope(in.Scope), Of: in.ScopeID, ApprovedBy: in.ApprovedBy, Must: in.Must}
	if in.ExpiresIn != nil {
		r.ExpiresAt = x.Start.UTC().Add(time.Duration(*in.ExpiresIn)).Truncate(time.Second)
	}
	p, err := x.Actions.Grant(x.ctx(), x.param("id"), r, x.by(in.Reason))
	x.status = http.StatusCreated
	return x.viewPrincipal(p), err
}

func revokeRole(x *exchange, in rehearsable) (manage.PrincipalView, error) {
	id := x.param("id")
	return viewed(x.viewPrincipal)(x.Actions.Revoke(x.ctx(), id, x.C.Param("grant"), x.by(in.Reason)))
}

// newAdminToken is the body of createAdminToken.
type newAdminToken struct {
	Name      string         `json:"name" required:"true"`
	ExpiresIn *wire.Duration `json:"expires_in" doc:"90 days by default; at most 366 days."`
}

// CreatedToken is a token with its secret, which appears in this answer and nowhere else.
type CreatedToken struct {
	manage.TokenView
	Secret string `json:"secret"`
}

// defaultTokenLife is how long a token is valid by default.
const defaultTokenLife = 90 * 24 * time.Hour

func createAdminToken(x *exchange, in newAdminToken) (CreatedToken, error) {
	life := defaultTokenLife
	if in.ExpiresIn != nil {
		life = time.Duration(*in.ExpiresIn)
	}
	t, secret, err := x.Actions.CreateToken(x.ctx(), x.param("id"), in.Name, life, x.by(""))
	if err != nil {
		return CreatedToken{}, err
	}
	x.status = http.StatusCreated
	return CreatedToken{manage.ViewToken(t), secret.Reveal()}, nil
}

func endAdminToken(x *exchange, in rehearsable) (manage.PrincipalView, error) {
	id := x.param("id")
	return viewed(x.viewPrincipal)(x.Actions.EndToken(x.ctx(), id, x.C.Param("token"), x.by(in.Reason)))
}

// personOperations are about the data held on one person. They use POST: names do not belong in
// URLs, which are logged.
func personOperations() []operation {
	return []operation{
		does("exportPerson", post, "/persons/export", "All that is held of an end user or an address: rows, totals, entries of the record "+
			"of access, keys.", exportPerson).slowly().afresh(),
		does("erasePerson", post, "/persons/erase", "Take the name of an end user, or an address, out of what is held.", erasePerson).
			slowly().afresh(),
	}
}

func personRules() map[string]rule {
	return map[string]rule{
		"exportPerson": {rbac.AccessRead, organisation},
		"erasePerson":  {rbac.AccessErase, organisation},
	}
}

// personName is the body of exportPerson.
type personName struct {
	Name string `json:"name" required:"true" doc:"The end user as named by the client, the pseudonym, or an address."`
}

// exportPerson is POST /persons/export.
func exportPerson(x *exchange, in personName) (manage.PersonExport, error) {
	return x.Actions.ExportPerson(x.ctx(), in.Name)
}

// personErasure is the body of erasePerson.
type personErasure struct {
	personName
	DryRun bool   `json:"dry_run" doc:"Only report what would be erased."`
	Reason string `json:"reason" required:"true" doc:"The reason for the audit log, which must not contain the name."`
}

// erasePerson is POST /persons/erase.
func erasePerson(x *exchange, in personErasure) (manage.PersonErased, error) {
	return x.Actions.ErasePerson(x.ctx(), manage.PersonErasure{Name: in.Name, DryRun: in.DryRun}, x.by(in.Reason))
}

// grantTrial is the body of tryGrants: the parts of an administrative action that conditions
// look at.
type grantTrial struct {
	Operation  string        `json:"operation" required:"true" doc:"Its id in this document, such as revokeKey."`
	Scope      string        `json:"scope" enum:"org,team,project" doc:"Where its object belongs; org by default."`
	ScopeID    string        `json:"scope_id" doc:"Id or name (for a project, team/project); not needed for org."`
	From       string        `json:"from" doc:"The address that the request comes from."`
	At         *wire.Instant `json:"at" doc:"Default: now."`
	Session    bool          `json:"session" doc:"Whether it is made in a session; otherwise with a token."`
	AgeMinutes int           `json:"age_minutes" doc:"Age of the login in minutes."`
	Strength   []string      `json:"strength" doc:"The amr and acr claims of the login."`
	Must       string        `json:"must" doc:"A condition to try in place of those of all grants."`
}

// tryGrants is POST /principals/{id}/try.
func tryGrants(x *exchange, in grantTrial) (manage.GrantVerdict, error) {
	r, there := x.rules[in.Operation]
	if !there {
		return manage.GrantVerdict{}, wire.Invalid("operation", "is not an operation of this API")
	}
	t := manage.GrantTrial{At: x.Start, Draft: in.Must}
	t.Act = policy.ActFacts{Operation: in.Operation, Permission: string(r.permission)}
	t.Login = policy.LoginFacts{Session: in.Session, AgeMinutes: in.AgeMinutes, Strength: in.Strength}
	if !in.Session {
		t.Login.AgeMinutes = policy.NeverSeen
	}
	if in.At != nil {
		t.At = in.At.Time
	}
	if in.From != "" {
		from, err := netip.ParseAddr(in.From)
		if err != nil {
			return manage.GrantVerdict{}, wire.Invalid("from", "must be an address")
		}
		t.Address = from.Unmap().WithZone("").String()
	}
	if in.Scope != "" && in.Scope != string(billing.ScopeOrg) {
		var err error
		if t.Place, err = x.Actions.PlaceOf(x.ctx(), billing.Scope(in.Scope), in.ScopeID); err != nil {
			return manage.GrantVerdict{}, err
		}
	}
	return x.Actions.TryGrants(x.ctx(), x.C.Param("id"), t)
}
