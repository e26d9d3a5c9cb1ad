package billing

import (
	"context"
	"time"
)

// Reject is a row that the ledger refuses because of its contents, and the reason.
type Reject struct {
	Row    Spend
	Reason string
}

// Used returns what the row counts as until it is booked.
func (r Reject) Used() Amount {
	row := r.Row.Tidy()
	return row.Used().AtLeast(Amount{})
}

// RejectedRow is a row that waits outside the ledger. What it used counts against the
// budgets, but appears in no report.
type RejectedRow struct {
	Reject
	At time.Time // when it was refused
}

// Rejects are the rows that the ledger refused.
type Rejects interface {
	// ListRejects lists the rows that wait to be booked, oldest first; only those of one
	// request where requestID is not empty.
	ListRejects(ctx context.Context, requestID string) ([]RejectedRow, error)
	// BookRejects books the waiting rows of a request, all or none, and returns how many
	// there were. They are counted once throughout. A row that the ledger still refuses
	// is a *RowError, and a request without waiting rows is a *NotFoundError.
	BookRejects(ctx context.Context, requestID, actor string, notes ...*Change) (int, error)
}
