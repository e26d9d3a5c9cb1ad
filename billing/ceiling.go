package billing

import (
	"context"
	"time"
)

// Ceiling is how much the members of a team may create for themselves. Its amounts
// apply to all keys of one member together; nil means no limit of that kind.
type Ceiling struct {
	TeamID    string
	Keys      int64 // in force, of one member
	Period    Period
	Zone      string
	Money     *Money
	Tokens    *int64
	Requests  *int64
	Life      time.Duration // 0 means no bound
	Models    []string      // empty: all
	UpdatedAt time.Time
	UpdatedBy string
}

// Budget returns the budget that corresponds to the ceiling's amounts; ok is false
// where it has none.
func (c Ceiling) Budget() (b Budget, ok bool) {
	b = Budget{Scope: ScopeKey, Period: c.Period, Zone: c.Zone, Money: c.Money, Tokens: c.Tokens, Requests: c.Requests}
	return b, c.Money != nil || c.Tokens != nil || c.Requests != nil
}

// OwnUse is a key that a member has, or had, and what it takes from the member's
// ceiling in the current period.
type OwnUse struct {
	ID       KeyID
	InForce  bool // neither revoked nor expired
	Money    *Money
	Tokens   *int64
	Requests *int64
	Used     Amount // or leased, held or about to be held
}

// RaiseOutcome is the outcome of a member's request.
type RaiseOutcome string

// The outcomes.
const (
	RaisePending  RaiseOutcome = "pending"
	RaiseApproved RaiseOutcome = "approved"
	RaiseDeclined RaiseOutcome = "declined"
)

// RaiseRequest is a member's request to raise the limits of a budget for a time.
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

// RaiseFilter narrows ListRaises. Empty fields match everything.
type RaiseFilter struct {
	ID, PrincipalID string
	Outcome         RaiseOutcome
	Within          *Within // nil means everywhere
	Before          string  // an ID: only requests made before that one; "" means all
	Limit           int     // 0 means 1000, which is also the maximum
}

// Most returns the maximum number of rows to list.
func (f RaiseFilter) Most() int {
	if f.Limit <= 0 || f.Limit > 1000 {
		return 1000
	}
	return f.Limit
}

// SelfService stores what the members of teams may create for themselves, and what they
// ask for.
type SelfService interface {
	// SetCeiling stores the ceiling of a team and replaces any previous one. It returns
	// *NotFoundError for an unknown team.
	SetCeiling(ctx context.Context, c Ceiling, notes ...*Change) error
	// RemoveCeiling stops the members of a team from creating keys. It returns
	// *NotFoundError where there is no ceiling.
	RemoveCeiling(ctx context.Context, teamID string, notes ...*Change) error
	ListCeilings(ctx context.Context) ([]Ceiling, error)
	// CreateOwnKey is CreateKey for the member k.OwnerID. fill gets the team's ceiling
	// and everything that the member has in the team, with all earlier changes applied;
	// it completes the key or refuses it, and may run more than once. CreateOwnKey
	// returns *NotFoundError where the team has no ceiling.
	CreateOwnKey(ctx context.Context, k Key, hash [32]byte, now time.Time, fill func(*Key, Ceiling, []OwnUse) error,
		notes ...*Change) error
	// AskRaise stores a request. It returns a *ConflictError while another request for
	// the budget is pending.
	AskRaise(ctx context.Context, r RaiseRequest, notes ...*Change) error
	// ListRaises lists requests ordered by id, newest first.
	ListRaises(ctx context.Context, f RaiseFilter) ([]RaiseRequest, error)
	// DecideRaise stores the outcome that decide gives a pending request, and raises the
	// budget if it is approved, in one transaction. It returns *NotFoundError for an
	// unknown id.
	DecideRaise(ctx context.Context, id string, decide func(*RaiseRequest) error, notes ...*Change) (RaiseRequest, error)
}

// Raise returns the raise that an approved request asks for.
func (r RaiseRequest) Raise() Raise {
	return Raise{
		BudgetID: r.BudgetID, By: r.By, From: r.DecidedAt, Until: r.Until, Actor: r.DecidedBy, Reason: r.Reason, At: r.DecidedAt,
	}
}

// Decided refuses to decide a request twice.
func (r RaiseRequest) Decided() error {
	if r.Outcome == RaisePending {
		return nil
	}
	return &ConflictError{Detail: "request " + r.ID + " was " + string(r.Outcome) + " already"}
}
