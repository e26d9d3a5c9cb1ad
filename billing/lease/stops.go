package lease

import (
	"errors"
	"time"

	"tallyroute/billing"
)

// stops holds the keys that had an overrun here recently. The database stops a key when
// the overrun is posted, and every process hears of it within a second; until then this
// process refuses the key by itself, so that no request begins after an overrun that
// stops it was seen. All fields are guarded by the ledger's lock.
type stops struct {
	limit billing.OverrunLimit
	keys  map[billing.KeyID]*keyOverrun
}

// keyOverrun is what one key used beyond what was held for it.
type keyOverrun struct {
	enabled time.Time      // of the key, as it was read
	sum     billing.Amount // since then, as far as it was remembered
	waiting billing.Amount // the part of it that is yet to be posted
	entries int            // number of entries yet to be posted
	last    time.Time
	stopped bool
	version int64 // the newest version of the key that was seen before everything was posted
}

// mostStops is how many keys are remembered before those are dropped whose overruns the
// database has in full.
const (
	mostStops = 1000
	stopsFor  = time.Minute
)

// refuses reports whether a key must not be used, whatever was read about it.
func (s *stops) refuses(h billing.Hold) bool {
	k := s.keys[h.KeyID]
	switch {
	case k == nil:
		return false
	case h.EnabledAt.After(k.enabled), k.entries == 0 && h.KeyVersion > k.version: // the database knows better
		delete(s.keys, h.KeyID)
		return false
	case k.entries > 0:
		k.version = max(k.version, h.KeyVersion)
	}
	return k.stopped
}

// settled counts what a request used beyond its hold, and reports whether that stops
// its key. A key without a budget is not stopped.
func (s *stops) settled(e *entry) bool {
	over := overrunOf(e.rows)
	if over == (billing.Amount{}) || len(e.leases) == 0 {
		return false
	}
	k := s.of(e)
	k.sum, k.waiting, k.last = k.sum.Plus(over), k.waiting.Plus(over), time.Now()
	k.entries++
	k.version = max(k.version, e.version)
	e.key, e.over = k, over
	budgets := make([]billing.Budget, len(e.leases))
	for i, le := range e.leases {
		budgets[i] = le.budget
	}
	tokens, money := billing.Tightest(budgets)
	// What the key was read with may or may not include what this process posted.
	k.stopped = k.stopped || s.limit.Passed(k.sum.AtLeast(e.before.Plus(k.waiting)), tokens, money)
	return k.stopped
}

// of returns the overrun of the entry's key, creating it if needed.
func (s *stops) of(e *entry) *keyOverrun {
	id := e.rows[0].Owner.KeyID
	if k := s.keys[id]; k != nil && !e.enabled.After(k.enabled) {
		return k
	}
	if len(s.keys) >= mostStops {
		for id, k := range s.keys {
			if k.entries == 0 && time.Since(k.last) > stopsFor {
				delete(s.keys, id)
			}
		}
	}
	k := &keyOverrun{enabled: e.enabled}
	s.keys[id] = k
	return k
}

// posted records that the database has an entry.
func (s *stops) posted(e *entry) {
	if e.key != nil {
		e.key.waiting, e.key.last = e.key.waiting.Minus(e.over), time.Now()
		e.key.entries--
		e.key = nil
	}
}

func overrunOf(rows []billing.Spend) (over billing.Amount) {
	for i := range rows {
		over = over.Plus(billing.Amount{Tokens: rows[i].OverrunTokens, Money: rows[i].OverrunMoney})
	}
	return over
}

// denied records that a budget had no room, once for each key and window. The event is
// written with the next posting.
func (l *Ledger) denied(h billing.Hold, err error, now time.Time) {
	var refused *billing.QuotaError
	if !errors.As(err, &refused) {
		return
	}
	event, first := l.denials.Event(h, refused, now)
	if !first {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, event)
	wake(l.wakeWriter)
}
