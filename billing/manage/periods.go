package manage

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"tallyroute/billing"
)

// Closing is a request to close a month.
type Closing struct {
	Month          string // such as 2026-11, in the reporting time zone
	AcceptUnpriced bool   // even if attempts in it have no price
}

// ClosePeriod closes a month that is over: it accepts no more rows, and its sum and digest
// are stored.
func (a Actions) ClosePeriod(ctx context.Context, c Closing, by By) (billing.PeriodStanding, error) {
	change := a.periodChange(c.Month, "period.close", by)
	change.AcceptUnpriced = c.AcceptUnpriced
	return a.Store.ClosePeriod(ctx, change)
}

// ReopenPeriod opens a closed month again. It needs a reason.
func (a Actions) ReopenPeriod(ctx context.Context, month string, by By) (billing.PeriodStanding, error) {
	return a.Store.ReopenPeriod(ctx, a.periodChange(month, "period.reopen", by))
}

func (a Actions) periodChange(month, action string, by By) billing.PeriodChange {
	return billing.PeriodChange{
		Month: billing.Month(month), Actor: by.Actor, Reason: by.Reason, Now: a.now(),
		Notes: []*billing.Change{a.note(by, action, month)},
	}
}

// Archivable refuses, with a *billing.ConflictError, a month that isn't closed or is
// already archived.
func (a Actions) Archivable(ctx context.Context, month billing.Month) error {
	all, err := a.Store.ListPeriods(ctx)
	if err != nil {
		return err
	}
	for _, p := range all {
		switch {
		case p.Month != month:
		case p.Status == billing.PeriodArchived:
			return &billing.ConflictError{Detail: fmt.Sprintf("month %s is archived already, by %s", month, p.ArchivedBy)}
		case p.Status == billing.PeriodClosed && p.SHA256 != "":
			return a.monthKept(ctx, month)
		}
	}
	return &billing.ConflictError{Detail: fmt.Sprintf("month %s is not closed: run tallyroute period close %s", month, month)}
}

// monthKept refuses to drop the rows of a month that the rules require to be kept.
func (a Actions) monthKept(ctx context.Context, month billing.Month) error {
	_, end := month.Span(time.UTC)
	return a.kept(ctx, "spend_events", end)
}

// Archive drops the rows of a closed month from the database once they are safe in a file:
// written is what was read back from it. Every total stays.
func (a Actions) Archive(ctx context.Context, written billing.ArchivedMonth, by By) error {
	if err := a.monthKept(ctx, written.Month); err != nil {
		return err
	}
	note := a.note(by, "period.archive", string(written.Month))
	note.Detail = map[string]string{"sha256": written.SHA256, "rows": strconv.FormatInt(written.Rows, 10)}
	written.Actor, written.Now, written.Notes = by.Actor, a.now(), []*billing.Change{note}
	return a.Store.ArchiveMonth(ctx, written)
}
