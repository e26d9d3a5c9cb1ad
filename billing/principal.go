package billing

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Principal is a user or service account that can administer. Its grants say what it
// may do.
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
	FromGroup  string // of the identity provider; such a grant is added and removed with the group membership
	Must       string // a condition without which the grant has no effect; "" if there is none
}

// InForce reports whether a grant is valid at an instant.
func (g Grant) InForce(now time.Time) bool {
	return g.EndedAt.IsZero() && (g.ExpiresAt.IsZero() || now.Before(g.ExpiresAt))
}

// AdminToken is a token of a principal. Its secret is stored only as a hash.
type AdminToken struct {
	ID         string
	Name       string
	Display    string
	Hash       [32]byte // only of a token that is to be stored
	CreatedAt  time.Time
	CreatedBy  string
	ExpiresAt  time.Time // zero: never
	EndedAt    time.Time
	LastUsedAt time.Time
}

// InForce reports whether a token is valid at an instant.
func (t AdminToken) InForce(now time.Time) bool {
	return t.EndedAt.IsZero() && (t.ExpiresAt.IsZero() || now.Before(t.ExpiresAt))
}

// ErrUnknownToken means that a token belongs to nobody.
var ErrUnknownToken = errors.New("billing: nobody has this token")

// ChangePrincipal applies a change to the principal with the given id among all, on
// behalf of stores; was is the principal before the change. It returns *NotFoundError
// for an unknown id.
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

// Principals stores the users and service accounts that can administer.
type Principals interface {
	// CreatePrincipal stores a principal with its grants and tokens. A name that is
	// already taken is a *ConflictError.
	CreatePrincipal(ctx context.Context, p Principal, notes ...*Change) error
	// UpdatePrincipal changes a principal in one transaction. change gets all principals
	// as they are under the lock, including the one to change; the grants and tokens
	// that it adds are stored, and those that it ends are ended. UpdatePrincipal returns
	// *NotFoundError for an unknown id.
	UpdatePrincipal(ctx context.Context, id string, change func(p *Principal, all []Principal) error, notes ...*Change) (Principal, error)
	// ListPrincipals lists principals ordered by id, which is the order of creation.
	ListPrincipals(ctx context.Context) ([]Principal, error)
	// PrincipalByToken returns the principal that owns the token with a hash, and the
	// token, whether they are in force or not. It returns ErrUnknownToken where there is
	// none.
	PrincipalByToken(ctx context.Context, hash [32]byte) (Principal, AdminToken, error)
	// TouchToken stores when a token was last used.
	TouchToken(ctx context.Context, id string, at time.Time) error
}
