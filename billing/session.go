package billing

import (
	"context"
	"time"
)

// Session is a person's login, with a secret of its own.
type Session struct {
	ID              string
	PrincipalID     string
	Hash            [32]byte // only of a session that is to be stored
	CreatedAt       time.Time
	AuthenticatedAt time.Time // when the identity provider last saw the person
	ExpiresAt       time.Time // however much it is used
	LastUsedAt      time.Time
	EndedAt         time.Time
	Source          string
	UserAgent       string
	Strength        string // the amr and acr of the login
}

// InForce reports whether a session is valid at an instant: it has neither ended nor
// been unused for as long as idle.
func (s Session) InForce(now time.Time, idle time.Duration) bool {
	return s.EndedAt.IsZero() && now.Before(s.ExpiresAt) && now.Sub(s.LastUsedAt) < idle
}

// Sessions stores the logins of administrators.
type Sessions interface {
	// CreateSession stores a session, and removes sessions that expired more than 90
	// days before it.
	CreateSession(ctx context.Context, s Session, notes ...*Change) error
	// SessionByHash returns the session with a hash and its principal, whether it is in
	// force or not. It returns ErrUnknownToken where there is none.
	SessionByHash(ctx context.Context, hash [32]byte) (Session, Principal, error)
	// TouchSession stores when a session was last used and its principal last seen.
	TouchSession(ctx context.Context, id string, at time.Time) error
	// EndSession ends a session; one that has already ended stays as it is. It returns
	// *NotFoundError for an unknown id.
	EndSession(ctx context.Context, id string, at time.Time, notes ...*Change) error
	// ListSessions lists the sessions that have neither ended nor expired by now, of one
	// principal or of all, newest first.
	ListSessions(ctx context.Context, principal string, now time.Time) ([]Session, error)
}
