package lease

import (
	"errors"
	"fmt"
	"slices"

	"tallyroute/billing/journal"
)

// look sees to a journal that has filled its disk, or whose files somebody deleted.
func (l *Ledger) look() {
	if errors.Is(l.log.Err(), journal.ErrFull) {
		l.empty()
	}
	l.restore()
}

// empty gives back what the journal takes up of a full disk once nothing in it is
// needed. The lock is held meanwhile: nothing may be written that would go with it.
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

// restore writes down again what is under way or not yet in the database, in a journal
// that has lost its files. The lock is held meanwhile: a request must not be settled
// before its beginning is written.
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

// rewrite appends a record of e again, and pins the segment that it is in now.
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
