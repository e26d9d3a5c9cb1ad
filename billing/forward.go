package billing

import (
	"context"
	"time"
)

// Destination is a recipient of the audit log, and how much of the log it has received.
type Destination struct {
	Name     string
	Seq      int64 // of the last record that arrived
	DueAt    time.Time
	Failures int64 // since it last worked
	Failure  string
	SentAt   time.Time
	Waiting  int64     // records that have not been sent to it
	Oldest   time.Time // when the oldest of them was written
}

// Destinations keeps track of how much of the audit log was sent where.
type Destinations interface {
	// ClaimDestination gives one router the exclusive right to send to a destination
	// until an instant. claimed is false while another router has that right, and before
	// the destination is due.
	ClaimDestination(ctx context.Context, name, router string, now, till time.Time) (d Destination, claimed bool, err error)
	// AuditAfter returns the records after seq, oldest first.
	AuditAfter(ctx context.Context, seq int64, most int) ([]Change, error)
	// Delivered records that everything up to seq has arrived, and gives the claim back.
	// kept is false where another router has since taken the claim.
	Delivered(ctx context.Context, name, router string, seq int64, at time.Time) (kept bool, err error)
	// Undelivered records why sending failed and when to retry, and gives the claim
	// back.
	Undelivered(ctx context.Context, name, router, failure string, due time.Time) error
	// ListDestinations lists every destination that anything was ever sent to, by name.
	ListDestinations(ctx context.Context) ([]Destination, error)
}
