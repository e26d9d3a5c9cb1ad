package manage

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/rbac"
)

// Person is somebody for whom an identity provider vouches.
type Person struct {
	Issuer          string
	Subject         string
	Email           string
	EmailVerified   bool
	Name            string
	Groups          []string
	Strength        []string // amr and acr of the login
	AuthenticatedAt time.Time
}

// GroupRole is a role given to the members of a group.
type GroupRole struct {
	Group string
	Role  string
	Scope billing.Scope // "" is the organisation
	Of    string        // the team or project, by name or id
	Must  string        // a condition without which it doesn't apply; "" is none
}

// LoginRules say what a login must fulfil, and which roles it gives.
type LoginRules struct {
	Roles    []GroupRole
	MFA      []string // values of which amr or acr must contain one; empty accepts any login
	Idle     time.Duration
	Absolute time.Duration
	StepUp   time.Duration // maximum age of a login for sensitive actions
}

// Reasons for refusing a login.
var (
	ErrNoMFA    = errors.New("manage: the login was not by several factors")
	ErrNoRole   = errors.New("manage: no role is granted to this person")
	ErrDisabled = errors.New("manage: this person is disabled")
)

// SignedIn is a successful login.
type SignedIn struct {
	Principal billing.Principal
	Session   billing.Session
	Secret    billing.Secret
}

// Visitor says from where somebody logs in.
type Visitor struct{ Source, UserAgent string }

// SignIn logs a person in: as the user bound to that identity; else as the user who has the
// same verified address and isn't bound yet; else as a new user, if the person's groups
// give a role. Grants from groups are brought in line with the current groups. A refusal is
// recorded.
func (a Actions) SignIn(ctx context.Context, p Person, rules LoginRules, from Visitor) (SignedIn, error) {
	by := By{Actor: "login " + p.Subject, Source: from.Source}
	in, err := a.signIn(ctx, p, rules, from, by)
	for _, refusal := range []error{ErrNoMFA, ErrNoRole, ErrDisabled} {
		if errors.Is(err, refusal) {
			note := a.note(by, "login", in.Principal.ID)
			note.Outcome, note.Detail = billing.OutcomeDenied, map[string]string{
				"why": strings.TrimPrefix(refusal.Error(), "manage: "), "issuer": p.Issuer, "subject": p.Subject,
			}
			return in, errors.Join(err, a.Store.Record(ctx, note))
		}
	}
	return in, err
}

func (a Actions) signIn(ctx context.Context, p Person, rules LoginRules, from Visitor, by By) (in SignedIn, err error) {
	if len(rules.MFA) > 0 && !slices.ContainsFunc(p.Strength, func(s string) bool { return slices.Contains(rules.MFA, s) }) {
		return in, ErrNoMFA
	}
	wanted, err := a.groupGrants(ctx, p, rules)
	if err != nil {
		return in, err
	}
	if in.Principal, err = a.bound(ctx, p, wanted, by); err != nil {
		return in, err
	}
	now := a.now()
	if !in.Principal.DisabledAt.IsZero() {
		return in, ErrDisabled
	}
	if !slices.ContainsFunc(in.Principal.Grants, func(g billing.Grant) bool { return g.InForce(now) }) {
		return in, ErrNoRole
	}
	if in.Secret, err = billing.NewSecret(billing.EnvironmentAdmin, rand.Reader); err != nil {
		return in, err
	}
	in.Session = billing.Session{
		ID: billing.NewID("session_"), PrincipalID: in.Principal.ID, Hash: in.Secret.Hash(a.Pepper), CreatedAt: now, LastUsedAt: now,
		AuthenticatedAt: earlier(p.AuthenticatedAt, now), ExpiresAt: now.Add(rules.Absolute), Source: from.Source,
		UserAgent: cut(from.UserAgent, 200), Strength: cut(strings.Join(p.Strength, " "), 200),
	}
	by.Actor = Actor(in.Principal)
	note := a.note(by, "login", in.Session.ID)
	note.Detail = map[string]string{"principal": in.Principal.ID, "strength": in.Session.Strength}
	return in, a.Store.CreateSession(ctx, in.Session, note)
}

// Actor returns the name of a principal in the audit log.
func Actor(p billing.Principal) string { return p.Name + " (" + p.ID + ")" }

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || a.After(b) {
		return b
	}
	return a.UTC()
}

func cut(s string, most int) string { return strings.ToValidUTF8(s[:min(len(s), most)], "") }

// groupGrants returns the grants that a person's groups give. Teams and projects that don't
// exist give none.
func (a Actions) groupGrants(ctx context.Context, p Person, rules LoginRules) (list []billing.Grant, err error) {
	for _, r := range rules.Roles {
		if !slices.Contains(p.Groups, r.Group) {
			continue
		}
		scope := r.Scope
		if scope == "" {
			scope = billing.ScopeOrg
		}
		id, err := a.scopeID(ctx, scope, r.Of)
		if errors.As(err, new(*billing.NotFoundError)) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, billing.Grant{
			ID: billing.NewID("grant_"), Role: r.Role, Scope: scope, ScopeID: id, CreatedAt: a.now(), CreatedBy: "login",
			FromGroup: r.Group, Must: r.Must,
		})
	}
	return list, nil
}

// bound returns the user that a person is bound to, with the grants of the person's groups.
func (a Actions) bound(ctx context.Context, p Person, wanted []billing.Grant, by By) (billing.Principal, error) {
	all, err := a.Store.ListPrincipals(ctx)
	if err != nil {
		return billing.Principal{}, err
	}
	i := slices.IndexFunc(all, func(u billing.Principal) bool { return u.Issuer == p.Issuer && u.Subject == p.Subject })
	if i < 0 && p.EmailVerified && p.Email != "" {
		i = slices.IndexFunc(all, func(u billing.Principal) bool {
			return u.Kind == billing.PrincipalUser && u.Subject == "" && strings.EqualFold(u.Email, p.Email)
		})
	}
	if i < 0 {
		return a.newUser(ctx, p, wanted, all, by)
	}
	return a.Store.UpdatePrincipal(ctx, all[i].ID, func(u *billing.Principal, all []billing.Principal) error {
		if u.Subject != "" && (u.Issuer != p.Issuer || u.Subject != p.Subject) {
			return &billing.ConflictError{Detail: "somebody else was bound to this user in the meantime"}
		}
		u.Issuer, u.Subject = p.Issuer, p.Subject
		if p.EmailVerified {
			u.Email = p.Email
		}
		a.matchGroups(u, wanted, all)
		return nil
	}, a.note(by, "principal.login", all[i].ID))
}

// newUser creates a user for a person whose groups give a role.
func (a Actions) newUser(ctx context.Context, p Person, wanted []billing.Grant, all []billing.Principal, by By) (billing.Principal, error) {
	if len(wanted) == 0 {
		return billing.Principal{}, ErrNoRole
	}
	u := billing.Principal{
		ID: billing.NewID("user_"), Kind: billing.PrincipalUser, Issuer: p.Issuer, Subject: p.Subject, CreatedAt: a.now(),
		CreatedBy: "login",
		Grants:    wanted,
	}
	for _, name := range []string{p.Email, p.Name, p.Subject, u.ID} {
		name = cut(strings.TrimSpace(name), maxName)
		if isName(name, maxName) && !slices.ContainsFunc(all, func(o billing.Principal) bool { return o.Name == name }) {
			u.Name = name
			break
		}
	}
	if p.EmailVerified && isAddress(p.Email) {
		u.Email = p.Email
	}
	note := a.note(by, "principal.create", u.ID)
	note.Detail = map[string]string{"name": u.Name, "issuer": p.Issuer, "subject": p.Subject}
	return u, a.Store.CreatePrincipal(ctx, u, note)
}

// matchGroups removes the grants of groups that a user has left and adds those of new ones.
// The last owner remains an owner.
func (a Actions) matchGroups(u *billing.Principal, wanted []billing.Grant, all []billing.Principal) {
	now := a.now()
	same := func(x billing.Grant) func(billing.Grant) bool {
		return func(y billing.Grant) bool {
			return x.Role == y.Role && x.Scope == y.Scope && x.ScopeID == y.ScopeID && x.FromGroup == y.FromGroup && x.Must == y.Must
		}
	}
	had := u.Grants
	for i := range had {
		if g := &had[i]; g.FromGroup != "" && g.InForce(now) && !slices.ContainsFunc(wanted, same(*g)) {
			if err := a.keepingOwner(all, func() { g.EndedAt = now }); err != nil {
				g.EndedAt = time.Time{}
			}
		}
	}
	for _, w := range wanted {
		if !slices.ContainsFunc(had, func(g billing.Grant) bool { return g.InForce(now) && same(w)(g) }) {
			u.Grants = append(u.Grants, w)
		}
	}
}

// Caller is whoever calls the admin API.
type Caller struct {
	Principal billing.Principal
	Access    rbac.Access
	Session   *billing.Session // nil for a token
}

// Authenticate finds who holds a token or session in force, and what they may do now.
func (a Actions) Authenticate(ctx context.Context, secret billing.Secret) (Caller, error) {
	now, hash := a.now(), secret.Hash(a.Pepper)
	p, t, err := a.Store.PrincipalByToken(ctx, hash)
	if errors.Is(err, billing.ErrUnknownToken) {
		return a.bySession(ctx, hash)
	}
	if err == nil && (!t.InForce(now) || !p.DisabledAt.IsZero()) {
		err = billing.ErrUnknownToken
	}
	if err != nil {
		return Caller{}, err
	}
	if now.Sub(t.LastUsedAt) > time.Minute {
		if err := a.Store.TouchToken(ctx, t.ID, now); err != nil {
			return Caller{}, err
		}
	}
	return Caller{Principal: p, Access: a.AllRoles().Of(p, now)}, nil
}

// AuthenticateCertified returns what a principal, given by id or name, may do whose certificate an
// authority vouches for. It returns billing.ErrUnknownToken if it does not exist or is disabled.
func (a Actions) AuthenticateCertified(ctx context.Context, ref string) (Caller, error) {
	all, err := a.Store.ListPrincipals(ctx)
	if err != nil {
		return Caller{}, err
	}
	i := slices.IndexFunc(all, func(p billing.Principal) bool { return p.ID == ref || p.Name == ref })
	if i < 0 || !all[i].DisabledAt.IsZero() {
		return Caller{}, billing.ErrUnknownToken
	}
	return Caller{Principal: all[i], Access: a.AllRoles().Of(all[i], a.now())}, nil
}

// mostTouched is the longest interval at which the use of a session is stored; a short idle
// time shortens it.
const mostTouched = time.Minute

func (a Actions) bySession(ctx context.Context, hash [32]byte) (Caller, error) {
	now := a.now()
	s, p, err := a.Store.SessionByHash(ctx, hash)
	if err == nil && (!s.InForce(now, a.idle()) || !p.DisabledAt.IsZero()) {
		err = billing.ErrUnknownToken
	}
	if err != nil {
		return Caller{}, err
	}
	if now.Sub(s.LastUsedAt) > min(mostTouched, a.idle()/4) {
		if err := a.Store.TouchSession(ctx, s.ID, now); err != nil {
			return Caller{}, err
		}
	}
	return Caller{Principal: p, Access: a.AllRoles().Of(p, now), Session: &s}, nil
}

// defaultIdle is how long a session may be idle by default.
const defaultIdle = time.Hour

func (a Actions) idle() time.Duration {
	if a.SessionIdle > 0 {
		return a.SessionIdle
	}
	return defaultIdle
}

// Sessions returns the logins in force of a principal, or of all.
func (a Actions) Sessions(ctx context.Context, principal string) ([]billing.Session, error) {
	now := a.now()
	all, err := a.Store.ListSessions(ctx, principal, now)
	return slices.DeleteFunc(all, func(s billing.Session) bool { return !s.InForce(now, a.idle()) }), err
}

// EndSession ends a login.
func (a Actions) EndSession(ctx context.Context, id string, by By) error {
	return a.Store.EndSession(ctx, id, a.now(), a.note(by, "session.end", id))
}

// SessionView is a login in JSON.
type SessionView struct {
	ID              string  `json:"id"`
	PrincipalID     string  `json:"principal_id"`
	CreatedAt       *string `json:"created_at"`
	AuthenticatedAt *string `json:"authenticated_at" doc:"When the identity provider last saw the person."`
	LastUsedAt      *string `json:"last_used_at"`
	ExpiresAt       *string `json:"expires_at"`
	Source          string  `json:"source"`
	UserAgent       string  `json:"user_agent"`
	Strength        string  `json:"strength" doc:"The amr and acr claims of the login."`
}

// ViewSession converts a login to JSON form.
func ViewSession(s billing.Session) SessionView {
	return SessionView{
		s.ID, s.PrincipalID, Instant(s.CreatedAt), Instant(s.AuthenticatedAt), Instant(s.LastUsedAt), Instant(s.ExpiresAt), s.Source,
		s.UserAgent, s.Strength,
	}
}
