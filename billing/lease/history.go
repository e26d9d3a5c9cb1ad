package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/journal"
)

// A database that was restored from a backup, or whose standby has taken over, may lack
// the latest data that it had confirmed. So at the start, and whenever the database
// does not recognise us, it is asked for the last row that it confirmed. If that is
// gone, everything that the journal still has is posted again before anything else;
// existing rows stay as they are.

// youngEnough is how old a row may be to be posted again whatever its month: one
// of a month that is over might have been archived, and would count twice.
const youngEnough = time.Hour

// recent reports whether a row can be looked up in the ledger.
func (l *Ledger) recent(row billing.Spend) bool {
	now := time.Now().In(l.o.Zone)
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, l.o.Zone)
	return row.OccurredAt.After(month) || now.Sub(row.OccurredAt) < youngEnough
}

// proven reports whether the database has what it confirmed, or has it again.
func (l *Ledger) proven(ctx context.Context) bool {
	l.mu.Lock()
	last := l.doubted
	l.mu.Unlock()
	if last == nil {
		return true
	}
	if err := l.prove(ctx, *last); err != nil {
		l.o.Report(fmt.Errorf("billing/lease: looking for what was posted last: %w", err))
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.doubted == last {
		l.doubted = nil
		close(l.onProof)
		l.onProof = make(chan struct{})
		wake(l.wakeKeeper)
	}
	return true
}

// proofWait is how long a request waits for lost data to be posted again.
const proofWait = reclaimWait

// trusted waits until the database has what it has confirmed: what it has lost
// would be granted once more.
func (l *Ledger) trusted(ctx context.Context) error {
	l.mu.Lock()
	doubted, onProof := l.doubted != nil, l.onProof
	l.mu.Unlock()
	if !doubted {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, proofWait)
	defer cancel()
	select {
	case <-onProof:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: no allowance before the database has what it has confirmed", billing.ErrUnavailable)
	}
}

func (l *Ledger) prove(ctx context.Context, last billing.Spend) error {
	if !l.recent(last) {
		return nil
	}
	found, err := l.store.Events(ctx, billing.EventQuery{RequestID: last.RequestID, Limit: 1000})
	if err != nil {
		return err
	}
	if slices.ContainsFunc(found, func(r billing.Spend) bool { return r.Attempt == last.Attempt }) {
		return nil
	}
	a := again{l: l, begun: make(map[string][]billing.Spend)}
	err = l.log.History(func(seg journal.Segment, raw []byte) error { return a.take(ctx, seg, raw) })
	for _, rows := range a.begun {
		a.add(rows)
	}
	if err == nil {
		err = a.post(ctx, a.rows)
	}
	if a.missing > 0 {
		l.restored.Add(int64(a.missing))
		l.o.Report(fmt.Errorf("billing/lease: %w: %d rows that it lacked are posted again from the journal, back to %s; "+
			"what was lost before that, and by routers without a journal, is not in the ledger", errBehind, a.missing,
			a.oldest.UTC().Format(time.RFC3339)))
	}
	return err
}

// again holds the rows to post again.
type again struct {
	l       *Ledger
	begun   map[string][]billing.Spend // requests that earlier processes began but did not end
	rows    []billing.Spend
	missing int // how many of them the database lacked
	oldest  time.Time
}

// take takes one record of the journal.
func (a *again) take(ctx context.Context, seg journal.Segment, raw []byte) error {
	r, err := readRecord(raw)
	if err != nil {
		return nil //nolint:nilerr // it was told when it was replayed
	}
	switch r.kind {
	case recordBegin, recordRetry:
		if seg < a.l.own {
			a.begun[r.id] = r.rows
		}
	case recordRelease:
		delete(a.begun, r.id)
	case recordSettle:
		delete(a.begun, r.id)
		a.add(r.rows)
	}
	if len(a.rows) < a.l.o.Batch {
		return nil
	}
	rows := a.rows
	a.rows = nil
	return a.post(ctx, rows)
}

func (a *again) add(rows []billing.Spend) {
	for _, row := range rows {
		if a.l.recent(row) {
			a.rows = append(a.rows, row)
		}
	}
}

// post posts rows without changing a lease. A row that is refused because of its
// contents is set aside, as it was before.
func (a *again) post(ctx context.Context, rows []billing.Spend) error {
	if len(rows) == 0 {
		return nil
	}
	a.l.mu.Lock()
	p := billing.Posting{Replica: a.l.replica, Rows: rows}
	a.l.mu.Unlock()
	done, err := a.l.store.Post(context.WithoutCancel(ctx), p)
	if bad := (*billing.RowError)(nil); errors.As(err, &bad) {
		if half := len(rows) / 2; half > 0 {
			return errors.Join(a.post(ctx, rows[:half]), a.post(ctx, rows[half:]))
		}
		p.Rows, p.Rejects = nil, []billing.Reject{{Row: rows[0], Reason: bad.Error()}}
		_, err = a.l.store.Post(context.WithoutCancel(ctx), p)
		return err
	}
	if a.missing += done.Inserted; done.Inserted > 0 && (a.oldest.IsZero() || rows[0].OccurredAt.Before(a.oldest)) {
		a.oldest = rows[0].OccurredAt
	}
	return err
}

// Restored returns how many rows were posted again because the database had lost them.
func (l *Ledger) Restored() int64 { return l.restored.Load() }

// Disown forgets what was posted: it belongs to another database.
func (l *Ledger) Disown() {
	l.mu.Lock()
	l.doubted, l.confirmed = nil, nil
	close(l.onProof)
	l.onProof = make(chan struct{})
	l.mu.Unlock()
	l.shrink()
	l.log.Forget()
}
