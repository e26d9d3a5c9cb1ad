package billing

import (
	"context"
	"time"

	"tallyroute/billing/access"
)

// AccessLog keeps who used which key from where.
type AccessLog interface {
	// AppendAccess adds entries. It is all of them or none.
	AppendAccess(ctx context.Context, entries []access.Entry) error
	// ListAccess lists the entries that a query chooses, the newest first.
	ListAccess(ctx context.Context, q access.Query) ([]access.Entry, error)
	// CountAccess counts them by some columns, those of the most requests first.
	CountAccess(ctx context.Context, q access.Query, by ...access.Column) ([]access.Count, error)
	// EraseAccess removes them for good and says how many there were.
	EraseAccess(ctx context.Context, q access.Query, notes ...*Change) (int64, error)
	// PruneAccess removes what is older than an instant; a store may keep the rest of that day.
	PruneAccess(ctx context.Context, before time.Time) error
}
