package billing

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Principal is somebody who administers: a user or a service account. Its grants say
// what it may do.
type Principal struct {
	ID         string // user_… or svc_…
	Kind       PrincipalKind
	Name       string
	Email      string
	Issuer     string // of the identity provider; empty until the first login
	Subject    string
	CreatedAt  time.Time
	CreatedBy  string
	DisabledAt time.Time
	LastSeenAt time.Time
	Grants     []Grant
	Tokens     []AdminToken
}

// PrincipalKind is a user or a service.
type PrincipalKind string

// The kinds of principals.
const (
	PrincipalUser    PrincipalKind = "user"
	PrincipalService PrincipalKind = "service"
)

// Grant is a role of a principal within a scope: the organisation, a team or a project.
type Grant struct {
	ID         string
	Role       string
	Scope      Scope
	ScopeID    string
	CreatedAt  time.Time
	CreatedBy  string
	ApprovedBy string
	Reason     string
	ExpiresAt  time.Time // zero: never
	EndedAt    time.Time
	FromGroup  string // of the identity provider; such a grant comes and goes with the group
	Must       string // a condition without which the grant counts for nothing; "" is none
}

// InForce reports whether a grant counts at an instant.
func (g Grant) InForce(now time.Time) bool {
	return g.EndedAt.IsZero() && (g.ExpiresAt.IsZero() || now.Before(g.ExpiresAt))
}

// AdminToken is a token of a principal. Its secret is stored only as a hash.
type AdminToken struct {
	ID         string
	Name       string
	Display    string
	Hash       [32]byte // only of one that is to be stored
	CreatedAt  time.Time
	CreatedBy  string
	ExpiresAt  time.Time // zero: never
	EndedAt    time.Time
	LastUsedAt time.Time
}

// InForce reports whether a token opens anything at an instant.
func (t AdminToken) InForce(now time.Time) bool {
	return t.EndedAt.IsZero() && (t.ExpiresAt.IsZero() || now.Before(t.ExpiresAt))
}

// ErrUnknownToken is a token that nobody has.
var ErrUnknownToken = errors.New("billing: nobody has this token")

// ChangePrincipal makes a change to the one of all with an id, for stores: was is the
// principal before it. *NotFoundError for an unknown id.
func ChangePrincipal(all []Principal, id string, change func(p *Principal, all []Principal) error) (was, is Principal, err error) {
	i := slices.IndexFunc(all, func(p Principal) bool { return p.ID == id })
	if i < 0 {
		return was, is, &NotFoundError{What: "principal", ID: id}
	}
	was = all[i]
	was.Grants, was.Tokens = slices.Clone(was.Grants), slices.Clone(was.Tokens)
	err = change(&all[i], all)
	return was, all[i], err
}

// Principals keeps those who administer.
type Principals interface {
	// CreatePrincipal stores a principal with its grants and tokens. A name that another
	// one has is a *ConflictError.
	CreatePrincipal(ctx context.Context, p Principal, notes ...*Change) error
	// UpdatePrincipal changes a principal in one transaction. change is given all of
	// them, as they are under the lock, and the one that is to be changed among them;
	// what it adds to grants and tokens is stored, and those that it ends are ended.
	// *NotFoundError for an unknown id.
	UpdatePrincipal(ctx context.Context, id string, change func(p *Principal, all []Principal) error, notes ...*Change) (Principal, error)
	// ListPrincipals is ordered by id, which is the order of creation.
	ListPrincipals(ctx context.Context) ([]Principal, error)
	// PrincipalByToken finds the principal that has the token with a hash, and that
	// token, whether they are in force or not. ErrUnknownToken where there is none.
	PrincipalByToken(ctx context.Context, hash [32]byte) (Principal, AdminToken, error)
	// TouchToken stores when a token was last used.
	TouchToken(ctx context.Context, id string, at time.Time) error
}
