package billing

import (
	"context"
	"time"
)

// RuleSet is one version of the organisation's rules for its keys.
type RuleSet struct {
	Version int64
	Rules   string // JSON, byte for byte what the digest covers
	SHA256  string
	Author  string
	Reason  string
	MadeAt  time.Time
}

// Acknowledgement records that somebody responsible for keys has taken note of a
// version.
type Acknowledgement struct {
	Version int64
	Owner   string // an address
	Actor   string // who recorded it
	At      time.Time
}

// Governance stores the organisation's rules. No version is ever changed.
type Governance interface {
	// AddRules stores a version and the events that announce it. It returns ErrDuplicate
	// where the version number is taken.
	AddRules(ctx context.Context, r RuleSet, events []Event, notes ...*Change) error
	// ListRules lists up to most versions, newest first; 0 means 1000.
	ListRules(ctx context.Context, most int) ([]RuleSet, error)
	// Acknowledge stores an acknowledgement; of two for the same owner, the first stays.
	// It returns *NotFoundError for an unknown version.
	Acknowledge(ctx context.Context, a Acknowledgement, notes ...*Change) error
	// ListAcknowledgements lists the acknowledgements of a version, by owner.
	ListAcknowledgements(ctx context.Context, version int64) ([]Acknowledgement, error)
}

// Review is an access review: of keys, and of the grants of administrators.
type Review struct {
	Number    int64
	StartedAt time.Time
	DueAt     time.Time
	StartedBy string
	Items     int
	Open      int // the number of items without a decision
}

// ReviewKind is what an item of a review is about.
type ReviewKind string

// The kinds of items.
const (
	ReviewKey   ReviewKind = "key"
	ReviewGrant ReviewKind = "grant"
)

// Decision is the outcome of an item.
type Decision string

// The decisions.
const (
	DecisionKeep   Decision = "keep"
	DecisionNarrow Decision = "narrow"
	DecisionRevoke Decision = "revoke"
)

// ReviewItem is one key or one grant of a review.
type ReviewItem struct {
	Number    int64 // the number of the review
	Kind      ReviewKind
	Object    string // the id of the key or of the grant
	Holder    string // the id of the key or of the principal
	Facts     string // JSON
	Decision  Decision
	DecidedAt time.Time // zero: undecided
	DecidedBy string
	Reason    string
}

// Reviews stores access reviews.
type Reviews interface {
	// AddReview stores a review with its items. It returns ErrDuplicate where the number
	// is taken.
	AddReview(ctx context.Context, r Review, items []ReviewItem, notes ...*Change) error
	// ListReviews lists reviews, newest first, at most 1000.
	ListReviews(ctx context.Context) ([]Review, error)
	// ListReviewItems lists the items of a review by kind and object.
	ListReviewItems(ctx context.Context, number int64) ([]ReviewItem, error)
	// DecideReview stores a decision. It returns *ConflictError where there already is
	// one, and *NotFoundError for an unknown item.
	DecideReview(ctx context.Context, i ReviewItem, notes ...*Change) error
}

// ReviewDecided returns the error that an item already has a decision.
func ReviewDecided(object string) error {
	return &ConflictError{Detail: "the review has a decision about " + object + " already"}
}
