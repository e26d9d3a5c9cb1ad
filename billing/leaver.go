package billing

import (
	"context"
	"time"
)

// ReviewOutcome is what became of the key of somebody who has left.
type ReviewOutcome string

// The outcomes.
const (
	ReviewOpen        ReviewOutcome = "open"
	ReviewTransferred ReviewOutcome = "transferred" // to somebody else
	ReviewKept        ReviewOutcome = "kept"        // as it is
	ReviewDisabled    ReviewOutcome = "disabled"
	ReviewReturned    ReviewOutcome = "returned" // he has come back
	ReviewEnded       ReviewOutcome = "ended"    // the key was ended otherwise
)

// LeaverReview is the question what becomes of a key whose owner has left.
type LeaverReview struct {
	ID          string
	KeyID       KeyID
	PrincipalID string
	Cause       string
	OpenedAt    time.Time
	DueAt       time.Time // when the key is disabled, unless somebody decides before
	Outcome     ReviewOutcome
	ClosedAt    time.Time
	ClosedBy    string

	// Of the key and its owner. Stores fill them on every read.
	KeyName, Principal, TeamID, Team, ProjectID string
}

// ReviewFilter narrows ListLeaverReviews. Empty members do not narrow.
type ReviewFilter struct {
	ID          string
	PrincipalID string
	Outcome     ReviewOutcome
	Within      *Within // nil is everywhere
}

// Leavers keeps the reviews of keys whose owners have left.
type Leavers interface {
	// OpenLeaverReview stores a review, unless one of its key is open: opened says so.
	OpenLeaverReview(ctx context.Context, r LeaverReview, notes ...*Change) (opened bool, err error)
	// CloseLeaverReview closes a review that is open: closed says so. *NotFoundError for an
	// unknown id.
	CloseLeaverReview(ctx context.Context, id string, outcome ReviewOutcome, at time.Time, by string,
		notes ...*Change) (closed bool, err error)
	// ListLeaverReviews are up to 1000, the newest first.
	ListLeaverReviews(ctx context.Context, f ReviewFilter) ([]LeaverReview, error)
}
