package billing

import (
	"context"
	"time"
)

// Reject is a row that the ledger refuses for what is in it, and why.
type Reject struct {
	Row    Spend
	Reason string
}

// Used is what it counts with until it is booked.
func (r Reject) Used() Amount {
	row := r.Row.Tidy()
	return row.Used().AtLeast(Amount{})
}

// RejectedRow is a row that waits outside the ledger. What it used counts
// against the budgets, but is in no report.
type RejectedRow struct {
	Reject
	At time.Time // when it was refused
}

// Rejects are the rows that the ledger refused.
type Rejects interface {
	// ListRejects lists those that wait to be booked, the oldest first; those of one
	// request where requestID is not empty.
	ListRejects(ctx context.Context, requestID string) ([]RejectedRow, error)
	// BookRejects books the rows of a request that wait, all or none, and says
	// how many those were. They count once throughout. A row that the ledger
	// still refuses is a *RowError, and a request without any is a *NotFoundError.
	BookRejects(ctx context.Context, requestID, actor string) (int, error)
}
