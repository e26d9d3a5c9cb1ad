package billing

import (
	"context"
	"time"
)

// Session is a login of a person, with a secret of its own.
type Session struct {
	ID              string
	PrincipalID     string
	Hash            [32]byte // only of one that is to be stored
	CreatedAt       time.Time
	AuthenticatedAt time.Time // when the identity provider last saw the person
	ExpiresAt       time.Time // however much it is used
	LastUsedAt      time.Time
	EndedAt         time.Time
	Source          string
	UserAgent       string
	Strength        string // amr and acr of the login
}

// InForce reports whether a session opens anything at an instant: it has not ended, nor
// been unused for idle.
func (s Session) InForce(now time.Time, idle time.Duration) bool {
	return s.EndedAt.IsZero() && now.Before(s.ExpiresAt) && now.Sub(s.LastUsedAt) < idle
}

// Sessions keeps the logins of those who administer.
type Sessions interface {
	// CreateSession stores a session, and removes those that expired 90 days before it.
	CreateSession(ctx context.Context, s Session, notes ...*Change) error
	// SessionByHash finds the session with a hash and whose it is, whether it is in force
	// or not. ErrUnknownToken where there is none.
	SessionByHash(ctx context.Context, hash [32]byte) (Session, Principal, error)
	// TouchSession stores when a session was last used, and its principal last seen.
	TouchSession(ctx context.Context, id string, at time.Time) error
	// EndSession ends a session; one that has ended stays as it is. *NotFoundError for an
	// unknown id.
	EndSession(ctx context.Context, id string, at time.Time, notes ...*Change) error
	// ListSessions are those that have neither ended nor expired by now, of a principal or
	// of all, the newest first.
	ListSessions(ctx context.Context, principal string, now time.Time) ([]Session, error)
}
