package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tallyroute/billing"
	"tallyroute/billing/journal"
)

// look handles a journal that has filled its disk, or whose files somebody deleted.
func (l *Ledger) look() {
	if errors.Is(l.log.Err(), journal.ErrFull) {
		l.empty()
	}
	l.restore()
}

// empty frees the journal's space on a full disk once nothing in it is needed. The lock
// is held meanwhile: anything written now would be deleted too.
func (l *Ledger) empty() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segs.needed) > 0 || l.ending > 0 {
		return
	}
	if err := l.log.Empty(); err != nil {
		l.o.Report(fmt.Errorf("billing/lease: journal: %w", err))
	}
}

// restore writes everything that is in flight or not yet in the database again, to a
// journal that has lost its files. The lock is held meanwhile: a request must not be
// settled before its beginning is written.
func (l *Ledger) restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.log.Restore(); err != nil {
		l.o.Report(fmt.Errorf("billing/lease: what is not yet in the database is written again: %w", err))
		l.unwritten = true
	}
	if !l.unwritten || l.log.Err() != nil {
		return
	}
	for _, e := range l.open {
		if l.rewrite(&e.begun, recordBegin, e) != nil {
			return
		}
	}
	for _, e := range slices.Concat(l.onWay.settled(), l.queue) {
		if l.rewrite(&e.settled, recordSettle, e) != nil {
			return
		}
		if e.begun != 0 {
			l.segs.unpin(e.begun)
			e.begun = 0
		}
	}
	l.unwritten = false
}

// rewrite appends a record of e again, and pins the segment that it is now in.
func (l *Ledger) rewrite(at *journal.Segment, kind byte, e *entry) error {
	rows := e.ifLost
	if kind == recordSettle {
		rows = e.rows
	}
	seg, err := l.log.Append(appendRecord(nil, kind, e.id, rows))
	if err != nil {
		l.o.Report(fmt.Errorf("billing/lease: writing %s again: %w", e.id, err))
		return err
	}
	if *at != 0 {
		l.segs.unpin(*at)
	}
	*at = seg
	l.segs.pin(seg)
	return nil
}

// replay reads what earlier processes left in the journal. What they settled is queued
// again; the database knows whether it is already stored. What they began and never
// ended is booked as their record says, because the provider may have been called.
func (l *Ledger) replay() error {
	begun := make(map[string]*entry)
	var order []*entry
	first := l.own
	err := l.log.Recover(func(seg journal.Segment, raw []byte) error {
		first = min(first, seg)
		r, err := readRecord(raw)
		if err != nil {
			kept, failed := l.log.Quarantine(seg, raw)
			if failed != nil { // it stays where it is
				l.segs.pin(seg)
			}
			l.o.Report(errors.Join(fmt.Errorf("%w, in segment %d, and is kept in %s", err, seg, kept), failed))
			return nil
		}
		if r.kind == recordDone {
			for _, e := range order {
				l.forget(e)
				l.postedBefore(e.rows)
			}
			clear(begun)
			order = order[:0]
			return nil
		}
		e := begun[r.id]
		if e == nil {
			e = &entry{id: r.id}
			begun[r.id] = e
			order = append(order, e)
		}
		l.reread(e, r, seg)
		return nil
	})
	var damage *journal.DamageError
	if errors.As(err, &damage) { // all that could be read was; the rest is in quarantine
		l.o.Report(fmt.Errorf("billing/lease: %w", damage))
	} else if err != nil {
		return err
	}
	for _, e := range order {
		if e.rows == nil {
			e.rows = e.ifLost
			l.recovered(e.rows)
		}
		if e.rows != nil {
			e.epoch = formerEpoch
			l.queue = append(l.queue, e)
		}
	}
	l.queued, l.earlier = int64(len(l.queue)), len(l.queue)
	if l.doubted != nil {
		return nil
	}
	return l.log.History(func(seg journal.Segment, raw []byte) error {
		if r, err := readRecord(raw); seg < first && err == nil && r.kind == recordSettle {
			l.postedBefore(r.rows)
		}
		return nil
	})
}

func (l *Ledger) recovered(rows []billing.Spend) {
	if l.o.Recovered != nil && len(rows) > 0 {
		l.o.Recovered(rows)
	}
}

// postedBefore records rows that an earlier process posted.
func (l *Ledger) postedBefore(rows []billing.Spend) {
	if len(rows) > 0 {
		l.doubted = &rows[len(rows)-1]
	}
}

// reread adds a record of an earlier process to what is known about its request.
func (l *Ledger) reread(e *entry, r record, seg journal.Segment) {
	pin := func(at *journal.Segment) {
		if *at != 0 {
			l.segs.unpin(*at)
		}
		*at = seg
		l.segs.pin(seg)
	}
	switch r.kind {
	case recordBegin:
		e.ifLost = r.rows
		pin(&e.begun)
	case recordRetry:
		e.ifLost = r.rows
		if e.begun == 0 { // its beginning was damaged
			pin(&e.begun)
		}
	case recordSettle:
		e.rows = r.rows
		pin(&e.settled)
	case recordRelease:
		e.ifLost, e.rows = nil, nil
		if e.begun != 0 {
			l.segs.unpin(e.begun)
			e.begun = 0
		}
	}
}

// forget releases the segments of an entry.
func (l *Ledger) forget(e *entry) {
	for _, seg := range []journal.Segment{e.begun, e.settled} {
		if seg != 0 {
			l.segs.unpin(seg)
		}
	}
}

// done records that nothing earlier is needed, if that is so, so that the next start
// need not read it again. The record is written under the lock, so that no beginning is
// written before it; nobody waits for it to reach the disk.
func (l *Ledger) done() {
	if len(l.queue)+len(l.open)+l.ending > 0 || l.log.Err() != nil {
		return
	}
	if _, err := l.log.Write(appendRecord(nil, recordDone, "", nil)); err != nil {
		l.o.Report(fmt.Errorf("billing/lease: journal: %w", err))
	}
}

// carry copies the beginnings of long-running requests from the oldest segments to the
// newest, so that a single request does not keep the journal from shrinking.
func (l *Ledger) carry() {
	const keep = 2 // segments that are left alone
	active := l.log.Active()
	l.mu.Lock()
	var old []*entry
	for _, e := range l.open {
		if e.begun != 0 && e.begun+keep < active {
			old = append(old, e)
		}
	}
	l.mu.Unlock()
	for _, e := range old {
		if !l.carryOne(e) {
			break
		}
	}
	if len(l.carried) == 0 || l.log.Wait() != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, seg := range l.carried {
		l.segs.unpin(seg)
	}
	l.carried = nil
}

// carryOne holds the lock while it writes: a settlement of the request must not be
// written before its beginning. The old segment is released once the new record has
// reached the disk.
func (l *Ledger) carryOne(e *entry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[e.id] != e {
		return true
	}
	seg, err := l.log.Write(appendRecord(nil, recordBegin, e.id, e.ifLost))
	if err != nil {
		return false
	}
	l.carried = append(l.carried, e.begun)
	e.begun = seg
	l.segs.pin(seg)
	return true
}

// shrink drops the segments that are no longer needed.
func (l *Ledger) shrink() {
	active := l.log.Active()
	l.mu.Lock()
	first, moved := l.segs.advance(active)
	l.mu.Unlock()
	if !moved {
		return
	}
	if err := l.log.Drop(first); err != nil {
		l.o.Report(fmt.Errorf("billing/lease: journal: %w", err))
	}
}

// Close ends a ledger whose Run has ended: it stores what is settled and gives back
// what is leased, unless the database is unavailable. What then remains is in the
// journal for the next process.
func (l *Ledger) Close(ctx context.Context) error {
	if l.pending != nil { // the database did not answer the last time
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, lastWords)
		defer cancel()
	}
	for l.round(ctx) {
	}
	left, _ := l.Backlog()
	if left > 0 {
		return fmt.Errorf("%w: %d settlements are left in the journal", billing.ErrUnavailable, left)
	}
	l.mu.Lock()
	underWay := len(l.open)
	l.mu.Unlock()
	l.shrink()
	if underWay > 0 || !l.joined.Load() {
		return nil // the process that replays the journal gives the leases back
	}
	return l.store.Return(ctx, l.o.Replica, "")
}
