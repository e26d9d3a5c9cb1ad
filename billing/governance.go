package billing

import (
	"context"
	"time"
)

// RuleSet is one version of the organisation's rules for its keys.
type RuleSet struct {
	Version int64
	Rules   string // JSON, byte for byte what the digest is of
	SHA256  string
	Author  string
	Reason  string
	MadeAt  time.Time
}

// Acknowledgement is that somebody who answers for keys has taken note of a version.
type Acknowledgement struct {
	Version int64
	Owner   string // an address
	Actor   string // who recorded it
	At      time.Time
}

// Governance keeps the organisation's rules. No version is ever changed.
type Governance interface {
	// AddRules stores a version and the events that tell of it. One whose number is
	// taken is ErrDuplicate.
	AddRules(ctx context.Context, r RuleSet, events []Event, notes ...*Change) error
	// ListRules lists versions, the newest first: at most so many, of which 0 is 1000.
	ListRules(ctx context.Context, most int) ([]RuleSet, error)
	// Acknowledge stores an acknowledgement; of two for the same owner the first stays.
	// *NotFoundError for a version that there is not.
	Acknowledge(ctx context.Context, a Acknowledgement, notes ...*Change) error
	// ListAcknowledgements lists those of a version by owner.
	ListAcknowledgements(ctx context.Context, version int64) ([]Acknowledgement, error)
}

// Review is a review of access: of keys, and of the grants of those who administer.
type Review struct {
	Number    int64
	StartedAt time.Time
	DueAt     time.Time
	StartedBy string
	Items     int
	Open      int // of the items, those that nobody has decided about
}

// ReviewKind is what an item of a review is about.
type ReviewKind string

// The kinds of items.
const (
	ReviewKey   ReviewKind = "key"
	ReviewGrant ReviewKind = "grant"
)

// Decision is what becomes of an item.
type Decision string

// The decisions.
const (
	DecisionKeep   Decision = "keep"
	DecisionNarrow Decision = "narrow"
	DecisionRevoke Decision = "revoke"
)

// ReviewItem is one key or one grant of a review.
type ReviewItem struct {
	Number    int64 // of the review
	Kind      ReviewKind
	Object    string // the id of the key or of the grant
	Holder    string // the id of the key or of the principal
	Facts     string // JSON
	Decision  Decision
	DecidedAt time.Time // zero: nobody has decided
	DecidedBy string
	Reason    string
}

// Reviews keeps reviews of access.
type Reviews interface {
	// AddReview stores a review with its items. One whose number is taken is ErrDuplicate.
	AddReview(ctx context.Context, r Review, items []ReviewItem, notes ...*Change) error
	// ListReviews lists reviews, the newest first, at most 1000.
	ListReviews(ctx context.Context) ([]Review, error)
	// ListReviewItems lists the items of a review by kind and object.
	ListReviewItems(ctx context.Context, number int64) ([]ReviewItem, error)
	// DecideReview stores a decision: *ConflictError where there is one, *NotFoundError
	// where there is no such item.
	DecideReview(ctx context.Context, i ReviewItem, notes ...*Change) error
}

// ReviewDecided is that an item was decided about before.
func ReviewDecided(object string) error {
	return &ConflictError{Detail: "the review has a decision about " + object + " already"}
}
