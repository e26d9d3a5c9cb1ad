package billing

import (
	"context"
	"time"
)

// Destination is somebody who is sent the audit log, and how far that has come.
type Destination struct {
	Name     string
	Seq      int64 // of the last record that arrived
	DueAt    time.Time
	Failures int64 // since it last worked
	Failure  string
	SentAt   time.Time
	Waiting  int64     // records that it has not been sent
	Oldest   time.Time // when the first of them was written
}

// Destinations keeps how far the audit log was sent.
type Destinations interface {
	// ClaimDestination gives one router the right to send to a destination until an
	// instant: claimed is false while another has it, and before it is due.
	ClaimDestination(ctx context.Context, name, router string, now, till time.Time) (d Destination, claimed bool, err error)
	// AuditAfter are the records after one, the oldest first.
	AuditAfter(ctx context.Context, seq int64, most int) ([]Change, error)
	// Delivered notes that records up to seq have arrived and gives the claim back: kept
	// is false where another router has it by now.
	Delivered(ctx context.Context, name, router string, seq int64, at time.Time) (kept bool, err error)
	// Undelivered notes why sending failed and when it is tried again, and gives the claim
	// back.
	Undelivered(ctx context.Context, name, router, failure string, due time.Time) error
	// ListDestinations are all that were ever sent to, by name.
	ListDestinations(ctx context.Context) ([]Destination, error)
}
