package billing

import (
	"context"
	"time"
)

// Ceiling is how much the members of a team may make for themselves. Its amounts are of
// all keys of one member together; nil is no limit of that kind.
type Ceiling struct {
	TeamID    string
	Keys      int64 // in force, of one member
	Period    Period
	Zone      string
	Money     *Money
	Tokens    *int64
	Requests  *int64
	Life      time.Duration // 0: no bound
	Models    []string      // empty: all
	UpdatedAt time.Time
	UpdatedBy string
}

// Budget is the budget that the amounts of a ceiling are; ok is false where it has none.
func (c Ceiling) Budget() (b Budget, ok bool) {
	b = Budget{Scope: ScopeKey, Period: c.Period, Zone: c.Zone, Money: c.Money, Tokens: c.Tokens, Requests: c.Requests}
	return b, c.Money != nil || c.Tokens != nil || c.Requests != nil
}

// OwnUse is a key that a member has, or had, and what it takes of his ceiling in the
// period that is now.
type OwnUse struct {
	ID       KeyID
	InForce  bool // neither revoked nor expired
	Money    *Money
	Tokens   *int64
	Requests *int64
	Used     Amount // or leased, held or about to be
}

// RaiseOutcome is what became of what a member asked for.
type RaiseOutcome string

// The outcomes.
const (
	RaisePending  RaiseOutcome = "pending"
	RaiseApproved RaiseOutcome = "approved"
	RaiseDeclined RaiseOutcome = "declined"
)

// RaiseRequest is what a member asks for: that the limits of a budget be higher for a time.
type RaiseRequest struct {
	ID          string
	BudgetID    string
	KeyID       KeyID
	PrincipalID string
	By          Amount
	Until       time.Time
	Reason      string
	AskedAt     time.Time
	Outcome     RaiseOutcome
	DecidedAt   time.Time
	DecidedBy   string
	Answer      string

	// TeamID and ProjectID are those of the key. Stores fill them on every read.
	TeamID, ProjectID string
}

// RaiseFilter narrows ListRaises. Empty members do not narrow.
type RaiseFilter struct {
	ID, PrincipalID string
	Outcome         RaiseOutcome
	Within          *Within // nil is everywhere
	Limit           int     // 0 is 200, which is also the most
}

// Most is how many rows the filter asks for.
func (f RaiseFilter) Most() int {
	if f.Limit <= 0 || f.Limit > 200 {
		return 200
	}
	return f.Limit
}

// SelfService keeps what the members of teams may make for themselves, and what they ask for.
type SelfService interface {
	// SetCeiling stores the ceiling of a team in place of the one that there was.
	// *NotFoundError for the team.
	SetCeiling(ctx context.Context, c Ceiling, notes ...*Change) error
	// RemoveCeiling has the members of a team make no more keys. *NotFoundError where
	// there is no ceiling.
	RemoveCeiling(ctx context.Context, teamID string, notes ...*Change) error
	ListCeilings(ctx context.Context) ([]Ceiling, error)
	// CreateOwnKey is CreateKey for a member, k.OwnerID. fill is given the ceiling of the
	// team and all that the member has there, as they are after every change that came
	// before; it completes the key or refuses it, and may run more than once.
	// *NotFoundError where the team has no ceiling.
	CreateOwnKey(ctx context.Context, k Key, hash [32]byte, now time.Time, fill func(*Key, Ceiling, []OwnUse) error,
		notes ...*Change) error
	// AskRaise stores a request. A *ConflictError where one for the budget is pending.
	AskRaise(ctx context.Context, r RaiseRequest, notes ...*Change) error
	// ListRaises is ordered by id, the newest first.
	ListRaises(ctx context.Context, f RaiseFilter) ([]RaiseRequest, error)
	// DecideRaise stores the outcome that decide gives a pending request, and raises the
	// budget where that is approved, in one transaction. *NotFoundError for an unknown id.
	DecideRaise(ctx context.Context, id string, decide func(*RaiseRequest) error, notes ...*Change) (RaiseRequest, error)
}

// Raise is what an approved request does.
func (r RaiseRequest) Raise() Raise {
	return Raise{
		BudgetID: r.BudgetID, By: r.By, From: r.DecidedAt, Until: r.Until, Actor: r.DecidedBy, Reason: r.Reason, At: r.DecidedAt,
	}
}

// Decided refuses to decide a request again.
func (r RaiseRequest) Decided() error {
	if r.Outcome == RaisePending {
		return nil
	}
	return &ConflictError{Detail: "request " + r.ID + " was " + string(r.Outcome) + " already"}
}
