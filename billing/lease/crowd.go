package lease

import (
	"slices"
	"time"

	"tallyroute/billing"
)

// Near its limit a budget grants little at a time, and requests wait for each other.
// Whichever request asks therefore asks for everything that is waiting, and as much is
// granted as there is room for. A refusal applies to the requests that were waiting
// when it was asked for and want no less.

// crowd is the set of requests that wait for more of a lease.
type crowd struct {
	needs   billing.Amount // of the waiting requests
	refusal noRoom         // the last one
}

// noRoom is a refusal for lack of room in the window of a lease.
type noRoom struct {
	asked    time.Time // of the database; zero where something was granted since
	need     billing.Amount
	headroom billing.Amount
	granted  []billing.Granted
}

// standsFor is how long a refusal remains valid that nobody can change by giving back:
// a raised limit is noticed within this time.
const standsFor = time.Second

// stands reports whether an earlier refusal also applies to a want: so much of a minute
// is used that nothing that may come back leaves room. A client that does not wait then
// costs the database nothing.
func (r noRoom) stands(w billing.Want, now time.Time) bool {
	if w.Budget.Period != billing.PeriodMinute || now.Sub(r.asked) > standsFor {
		return false
	}
	i := slices.IndexFunc(r.granted, func(g billing.Granted) bool { return g.Balance.Budget.ID == w.Budget.ID })
	if i < 0 || !sameLimits(&r.granted[i].Balance.Budget, &w.Budget) {
		return false
	}
	b := r.granted[i].Balance
	return !b.Stands(b.Used(), billing.Amount{}).Fits(r.need)
}

// wait records that a request waits for leases; leave ends the wait.
func (l *Ledger) wait(leases []*lease, need billing.Amount) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, le := range leases {
		le.crowd.needs = le.crowd.needs.Plus(le.part(need))
	}
}

func (l *Ledger) leave(leases []*lease, need billing.Amount) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, le := range leases {
		le.crowd.needs = le.crowd.needs.Minus(le.part(need))
	}
}

// count adds what the currently waiting requests need to wants.
func (l *Ledger) count(wants []billing.Want) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, w := range wants {
		if le := l.leases[keyOf(&w.HoldLine)]; le != nil {
			wants[i].Waiting = le.crowd.needs
		}
	}
}

// refused records a refusal that was asked for at an instant, for the waiting requests.
func (l *Ledger) refused(asked time.Time, wants []billing.Want, granted []billing.Granted) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range granted {
		le := l.of(g.Balance)
		i := slices.IndexFunc(wants, func(w billing.Want) bool { return w.Budget.ID == g.Balance.Budget.ID })
		if le != nil && i >= 0 && !g.Fits {
			le.crowd.refusal = noRoom{asked, wants[i].Need, wants[i].Headroom, granted}
		}
	}
}

// refusedSince returns a refusal that was asked for after began, for no more than one
// of these wants needs.
func (l *Ledger) refusedSince(began time.Time, wants []billing.Want) []billing.Granted {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range wants {
		le := l.leases[keyOf(&w.HoldLine)]
		if le == nil {
			continue
		}
		r := le.crowd.refusal
		if (r.asked.After(began) || r.stands(w, time.Now())) && w.Need.Covers(r.need) && w.Headroom.Covers(r.headroom) {
			return r.granted
		}
	}
	return nil
}
