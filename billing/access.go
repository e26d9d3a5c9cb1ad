package billing

import (
	"context"
	"time"

	"tallyroute/billing/access"
)

// AccessLog records who used which key, and from where.
type AccessLog interface {
	// AppendAccess adds entries, either all of them or none.
	AppendAccess(ctx context.Context, entries []access.Entry) error
	// ListAccess lists the entries that match a query, newest first.
	ListAccess(ctx context.Context, q access.Query) ([]access.Entry, error)
	// CountAccess counts matching entries grouped by some columns, the groups with the
	// most requests first.
	CountAccess(ctx context.Context, q access.Query, by ...access.Column) ([]access.Count, error)
	// EraseAccess removes matching entries permanently and returns how many there were.
	EraseAccess(ctx context.Context, q access.Query, notes ...*Change) (int64, error)
	// PruneAccess removes entries older than an instant; a store may keep the rest of
	// that day.
	PruneAccess(ctx context.Context, before time.Time) error
}
