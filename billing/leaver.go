package billing

import (
	"context"
	"time"
)

// ReviewOutcome is what became of the key of a person who left.
type ReviewOutcome string

// The outcomes.
const (
	ReviewOpen        ReviewOutcome = "open"
	ReviewTransferred ReviewOutcome = "transferred" // to somebody else
	ReviewKept        ReviewOutcome = "kept"        // as it is
	ReviewDisabled    ReviewOutcome = "disabled"
	ReviewReturned    ReviewOutcome = "returned" // the person came back
	ReviewEnded       ReviewOutcome = "ended"    // the key was ended in some other way
)

// LeaverReview is the question of what happens to a key whose owner has left.
type LeaverReview struct {
	ID          string
	KeyID       KeyID
	PrincipalID string
	Cause       string
	OpenedAt    time.Time
	DueAt       time.Time // when the key is disabled unless somebody decides before
	Outcome     ReviewOutcome
	ClosedAt    time.Time
	ClosedBy    string

	// Details of the key and its owner. Stores fill them in on every read.
	KeyName, Principal, TeamID, Team, ProjectID string
}

// ReviewFilter narrows ListLeaverReviews. Empty fields match everything.
type ReviewFilter struct {
	ID          string
	PrincipalID string
	Outcome     ReviewOutcome
	Within      *Within // nil means everywhere
	Before      string  // an ID: only reviews opened before that one; "" means all
	Limit       int     // 0 means 1000, which is also the maximum
}

// Most returns the maximum number of reviews to list.
func (f ReviewFilter) Most() int {
	return RaiseFilter{Limit: f.Limit}.Most()
}

// Leavers stores the reviews of keys whose owners have left.
type Leavers interface {
	// OpenLeaverReview stores a review unless its key already has an open one; opened
	// tells which.
	OpenLeaverReview(ctx context.Context, r LeaverReview, notes ...*Change) (opened bool, err error)
	// CloseLeaverReview closes an open review; closed is false if it was not open. It
	// returns *NotFoundError for an unknown id.
	CloseLeaverReview(ctx context.Context, id string, outcome ReviewOutcome, at time.Time, by string,
		notes ...*Change) (closed bool, err error)
	// ListLeaverReviews lists up to 1000 reviews, newest first.
	ListLeaverReviews(ctx context.Context, f ReviewFilter) ([]LeaverReview, error)
}
