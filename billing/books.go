package billing

import (
	"context"
	"fmt"
	"time"
)

// Periods closes the months of the ledger. A row that arrives after its month was
// closed is booked on the first day of the next open month, with AdjustsPeriod naming
// its own month.
type Periods interface {
	// ListPeriods lists every month that has rows or was ever closed, newest first.
	ListPeriods(ctx context.Context) ([]PeriodStanding, error)
	// ClosePeriod refuses, with a *ConflictError, a month that is already closed, has
	// not ended in the reporting zone, or has unpriced attempts that nobody accepted.
	// Its row count, sum and digest are stored; from then on it takes no rows. The next
	// call finishes a close that was interrupted.
	ClosePeriod(ctx context.Context, c PeriodChange) (PeriodStanding, error)
	// ReopenPeriod needs a reason. It refuses, with a *ConflictError, a month that is
	// not closed or is archived.
	ReopenPeriod(ctx context.Context, c PeriodChange) (PeriodStanding, error)
}

// PeriodStatus is the status of a month.
type PeriodStatus string

// The statuses of a month.
const (
	PeriodOpen     PeriodStatus = "open"
	PeriodClosed   PeriodStatus = "closed"
	PeriodArchived PeriodStatus = "archived" // closed, and its rows are in a file
)

// PeriodStanding is the state of a month of the ledger. For an open month, Rows and
// Money are the figures so far.
type PeriodStanding struct {
	Month    Month
	Status   PeriodStatus
	Rows     int64
	Money    Money
	Unpriced int64  // attempts without a price; for a closed month, those that were accepted
	SHA256   string // MonthDigest of a closed month; "" while its close is unfinished

	ClosedAt   time.Time
	ClosedBy   string
	ArchivedAt time.Time
	ArchivedBy string
}

// PeriodChange asks for a month to be closed, reopened or archived.
type PeriodChange struct {
	Month  Month
	Actor  string
	Reason string // needed to reopen
	Now    time.Time
	// AcceptUnpriced closes a month even though it has attempts without a price.
	AcceptUnpriced bool
	Notes          []*Change // for the audit log
}

// Begun returns the records that the closing of a month has begun: from then on the month
// accepts no rows. If adding it up fails, it stays like that until somebody closes it again.
func (c PeriodChange) Begun() []*Change {
	notes := make([]*Change, len(c.Notes))
	for i, n := range c.Notes {
		begun := *n
		begun.Action += ".begin"
		notes[i] = &begun
	}
	return notes
}

// Check refuses a change that names nobody as responsible for it.
func (c PeriodChange) Check() error {
	if _, err := ParseMonth(string(c.Month)); err != nil {
		return &FieldError{Field: "month", Code: "invalid_value", Detail: "must be a month such as 2026-11"}
	}
	if c.Actor == "" {
		return &FieldError{Field: "actor", Code: "invalid_value", Detail: "must say who does it"}
	}
	return nil
}

// NotOver refuses to close a month that has not ended in the reporting zone.
func (c PeriodChange) NotOver(zone *time.Location) error {
	if _, end := c.Month.Span(zone); c.Now.Before(end) {
		return &ConflictError{Detail: fmt.Sprintf("month %s is not over until %s: close it then", c.Month, end.UTC().Format(time.RFC3339))}
	}
	return nil
}

// Unaccepted refuses to close a month that has attempts without a price.
func (c PeriodChange) Unaccepted(p PeriodStanding) error {
	if p.Unpriced == 0 || c.AcceptUnpriced {
		return nil
	}
	return &ConflictError{Detail: fmt.Sprintf("month %s has %d attempts without a price: give them one with tallyroute prices reprice, "+
		"or close it with --accept-unpriced", c.Month, p.Unpriced)}
}

// NeedsReason refuses a change without a reason.
func (c PeriodChange) NeedsReason() error {
	if c.Reason == "" {
		return &FieldError{Field: "reason", Code: "invalid_value", Detail: "must say why"}
	}
	return nil
}

// Reopenable refuses a month that is not closed or whose rows are gone.
func (c PeriodChange) Reopenable(p PeriodStanding) error {
	switch p.Status {
	case PeriodClosed:
		return nil
	case PeriodArchived:
		return &ConflictError{Detail: fmt.Sprintf("month %s is archived: post a correction to an open month instead", c.Month)}
	case PeriodOpen:
	}
	return &ConflictError{Detail: fmt.Sprintf("month %s is not closed", c.Month)}
}

// Archives moves closed months out of the database and preserves every total.
type Archives interface {
	// MonthRows calls each with the rows of a month in the order of its digest, within
	// one snapshot.
	MonthRows(ctx context.Context, m Month, each func(Spend) error) error
	// ArchiveMonth drops the rows of a closed month that were written to a file. It
	// refuses, with a *ConflictError, a month that is not closed, is already archived,
	// has a different digest from the file, or is preceded by a month that still has
	// rows. The rollup, the counters and the results of integrity checks stay as they
	// are.
	ArchiveMonth(ctx context.Context, a ArchivedMonth) error
	// Upkeep creates what the coming months need, such as partitions. Any number of
	// processes may call it concurrently, at any time.
	Upkeep(ctx context.Context) error
}

// ArchivedMonth says what was written to the file and read back from it.
type ArchivedMonth struct {
	Month  Month
	Rows   int64
	Money  Money
	SHA256 string
	Actor  string
	Now    time.Time
	Notes  []*Change // for the audit log
}

// Check compares the contents of the file with the figures that the month was closed
// with.
func (a ArchivedMonth) Check(p PeriodStanding) error {
	refuse := func(format string, args ...any) error {
		return &ConflictError{Detail: fmt.Sprintf("month %s ", a.Month) + fmt.Sprintf(format, args...)}
	}
	switch {
	case a.Actor == "":
		return &FieldError{Field: "actor", Code: "invalid_value", Detail: "must say who does it"}
	case p.Status == PeriodArchived:
		return refuse("is archived already, by %s", p.ArchivedBy)
	case p.Status != PeriodClosed || p.SHA256 == "":
		return refuse("is not closed: run tallyroute period close %s", a.Month)
	case a.Rows != p.Rows || a.Money != p.Money || a.SHA256 != p.SHA256:
		return refuse("was closed with %d rows, $%s and the digest %.12s; the file has %d, $%s and %.12s",
			p.Rows, p.Money.Short(), p.SHA256, a.Rows, a.Money.Short(), a.SHA256)
	}
	return nil
}

// Corrections posts rows that correct other rows. Existing rows are never changed.
type Corrections interface {
	// Correct books rows of any kind except usage on the day given by OccurredAt, and
	// posts them to the counters and the rollup, all or none.
	Correct(ctx context.Context, rows []Spend, notes ...*Change) error
	// Reprice posts one adjustment for every usage row whose cost, including its
	// existing adjustments, differs from what its price says. It works in batches, each
	// atomic, and may be run again: rows that are already right are left alone.
	Reprice(ctx context.Context, r Repricing) (Repriced, error)
}
