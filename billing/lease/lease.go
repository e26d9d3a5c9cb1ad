package lease

import (
	"slices"
	"time"

	"tallyroute/billing"
)

// lease is what this process has leased from one window of one budget. All of its
// fields are guarded by the ledger's lock. Its state changes like this:
//
//	grant     amount += granted
//	take      held += hold
//	settle    held -= hold, covered += used as far as it goes, spent += used
//	release   held -= hold
//	post      amount -= covered of the batch, covered -= it, spent -= it
//	give back amount -= free
//
// amount is never more than what the database has leased to us, and it covers
// everything that we admitted: held + covered <= amount, unless the operator cut the
// lease short.
type lease struct {
	id     billing.LeaseID
	budget billing.Budget // as it was when the lease was last granted
	window billing.Window
	// The budget that the database was last asked with, which may be older than its
	// answer.
	asOf     billing.Budget
	asOfTime time.Time

	amount  billing.Amount
	held    billing.Amount // by in-flight requests
	covered billing.Amount // part of amount, used by settlements that are yet to be posted
	spent   billing.Amount // what those settlements used, overruns included
	owed    billing.Amount // given up, and to be given back with the next posting

	// How the window stood when the database last answered, which had seen our
	// postings up to seen. Of what one that is yet to be answered used, used is without.
	seen   int64
	used   billing.Amount
	others billing.Amount // held, and leased by others

	taken   billing.Amount // since the last tick
	rate    billing.Amount // taken in a second, smoothed
	touched time.Time      // when it was last taken from
	exact   time.Time      // until then other replicas want what we do not need
	asked   time.Time      // when we last waited in vain for other replicas to give back
	topped  time.Time      // when more was last requested ahead of need
	shown   billing.Amount // what the database was last told is busy
	stale   bool           // the state of the window is not known
	doubt   bool           // a grant may or may not have been made
	asking  bool           // a grant is in progress
	refill  chan struct{}  // holds one token while nobody is asking for more
	crowd   crowd          // the requests waiting for that token
	gone    bool           // the database gave it back for us, or all of it was given back: it no longer counts
	listed  bool           // in changed
	passed  int            // how many thresholds of its limits were reported
	changed *changes       // of the ledger
}

// changes are the leases that the database may have to be told about. There may be very
// many leases, of which few are used between two postings.
type changes []*lease

// note lists the lease as changed.
func (l *lease) note() {
	if !l.listed {
		l.listed = true
		*l.changed = append(*l.changed, l)
	}
}

// told reports whether the database knows everything about the lease.
func (l *lease) told() bool {
	return l.gone || l.owed == (billing.Amount{}) && !l.doubt && l.busy() == l.shown
}

// tidy removes from the list the leases that the database knows all about.
func (c *changes) tidy() {
	*c = slices.DeleteFunc(*c, func(l *lease) bool {
		l.listed = !l.told()
		return !l.listed
	})
}

func newLease(line *billing.HoldLine, changed *changes) *lease {
	l := &lease{
		changed: changed,
		id:      billing.LeaseID{BudgetID: line.Budget.ID, WindowStart: line.Window.Start},
		budget:  line.Budget, window: line.Window, touched: time.Now(), refill: make(chan struct{}, 1),
	}
	l.refill <- struct{}{}
	return l
}

// unasked takes the right to ask for more, if it is free.
func (l *lease) unasked() bool {
	select {
	case <-l.refill:
		return true
	default:
		return false
	}
}

// free returns what may still be held. It may be negative.
func (l *lease) free() billing.Amount { return l.amount.Minus(l.held).Minus(l.covered) }

// idle returns free, but no less than zero.
func (l *lease) idle() billing.Amount { return l.free().AtLeast(billing.Amount{}) }

// part returns how much a hold takes from the lease: for a concurrency limit, only its
// requests.
func (l *lease) part(hold billing.Amount) billing.Amount {
	if l.window.Concurrent() {
		return billing.Amount{Requests: hold.Requests}
	}
	return hold
}

// counted returns how much of the window a request has used: nothing for a concurrency limit;
// for a part, the rows that count towards it.
func (l *lease) counted(e *entry) (sum billing.Amount) {
	switch {
	case l.window.Concurrent():
		return sum
	case l.budget.Part == "":
		return e.used
	}
	for i := range e.rows {
		if slices.Contains(e.rows[i].Limits, l.id.BudgetID) {
			sum = sum.Plus(e.rows[i].Used())
		}
	}
	return sum
}

// suffices reports whether a hold can be taken.
func (l *lease) suffices(hold billing.Amount) bool { return !l.stale && l.free().Covers(l.part(hold)) }

// lacks returns what is missing for a hold.
func (l *lease) lacks(hold billing.Amount) billing.Amount {
	return l.part(hold).Minus(l.free()).AtLeast(billing.Amount{})
}

// busy returns the part of amount that is not idle.
func (l *lease) busy() billing.Amount { return l.held.Plus(l.covered) }

// wanted reports whether other replicas want what we do not need.
func (l *lease) wanted() bool { return !l.exact.IsZero() && l.exact.After(time.Now()) }

func (l *lease) take(hold billing.Amount, now time.Time) {
	hold = l.part(hold)
	l.held = l.held.Plus(hold)
	l.taken = l.taken.Plus(hold)
	l.touched = now
	l.note()
}

func (l *lease) release(hold billing.Amount) {
	l.held = l.held.Minus(l.part(hold))
	l.note()
}

// settle returns how much of a request's usage the lease covers: more than the hold
// only if that much is idle.
func (l *lease) settle(e *entry) (covered billing.Amount) {
	hold, used := l.part(e.hold), l.counted(e)
	l.held = l.held.Minus(hold)
	covered = used.AtMost(hold.AtLeast(l.idle()))
	l.covered = l.covered.Plus(covered)
	l.spent = l.spent.Plus(used)
	l.note()
	return covered
}

// unsettled reports whether the database must be told something before it is asked for
// more: otherwise it would grant what is already taken, or refuse what is free.
func (l *lease) unsettled() bool {
	return !l.gone && (l.owed != (billing.Amount{}) || l.spent != l.covered)
}

// move makes it the lease of line, whose period may have changed.
func (l *lease) move(line *billing.HoldLine) {
	if l.narrowed(&line.Budget) {
		l.giveBack()
	}
	if !l.window.End.Equal(line.Window.End) {
		l.giveBack()
		l.window, l.stale = line.Window, true
	}
}

// posted forgets what the database now counts as used.
func (l *lease) posted(covered, spent billing.Amount) {
	l.amount = l.amount.Minus(covered)
	l.covered = l.covered.Minus(covered)
	l.spent = l.spent.Minus(spent)
	l.used = l.used.Plus(spent)
}

// giveBack gives up what is idle.
func (l *lease) giveBack() {
	idle := l.idle()
	l.amount = l.amount.Minus(idle)
	l.owed = l.owed.Plus(idle)
	l.note()
}

// granted adds what the database granted, and records the state of the window. way is
// what the answer includes as posted that we do not know to be posted yet.
func (l *lease) granted(g billing.Granted, asked billing.Budget, way move) {
	if lower(&g.Balance.Budget, &l.budget) {
		l.giveBack() // it was granted under a limit that no longer exists
	}
	l.asOf, l.asOfTime = asked, time.Now()
	l.amount = l.amount.Plus(g.Amount)
	l.shown = billing.Amount{Tokens: -1} // the database counted the need as busy
	l.note()
	l.budget, l.stale = g.Balance.Budget, false
	l.stands(g.Balance, g.Seq, way)
}

// stands notes how the database says that the window stands, in which our own
// lease counts as held. An answer that had seen less than the last one is late:
// what it does not count as used is no more in our memory either.
func (l *lease) stands(b billing.Balance, seen int64, way move) {
	if seen < l.seen {
		return
	}
	l.seen = seen
	l.used = b.Used().Minus(way.spent)
	if l.asking {
		return // what is held may include what we do not know that we were granted
	}
	own := l.amount.Plus(l.owed).Minus(way.covered).Minus(way.owed)
	l.others = b.Held().Minus(own).AtLeast(billing.Amount{})
}

// balance sets b to the balance of the window as far as this process knows. Its budget is set
// already.
func (l *lease) balance(b *billing.Balance) {
	b.Window = l.window
	b.Set(l.used.Plus(l.spent), l.others.Plus(l.held))
}

// tick advances the rate by one second.
func (l *lease) tick() {
	l.rate = billing.Amount{
		Tokens: smooth(l.rate.Tokens, l.taken.Tokens), Money: smooth(l.rate.Money, l.taken.Money),
		Requests: smooth(l.rate.Requests, l.taken.Requests),
	}
	l.taken = billing.Amount{}
}

// smooth moves a rate towards what was taken in one second, by at least one.
func smooth[T int64 | billing.Money](rate, taken T) T {
	const memory = 8
	switch {
	case rate == 0: // the first second
		return taken
	case taken > rate:
		return rate + (taken-rate+memory-1)/memory
	}
	return rate - (rate-taken+memory-1)/memory
}

// firstBlock is how many holds like the first one are asked for before there is a rate.
const firstBlock = 20

// manyRequests are leased at once where requests are not limited, so that nobody waits
// for them.
const manyRequests = 1 << 30

// wish returns how much to ask for: what is used in the time that we may have to manage
// without the database. The database grants less near the limit.
func (l *lease) wish(hold billing.Amount, ttl time.Duration) billing.Amount {
	if l.window.Concurrent() { // it is reused again and again, however fast requests come
		return times(l.part(hold), firstBlock)
	}
	wish := times(l.rate, int64(ttl/time.Second)).AtLeast(times(hold, firstBlock))
	if l.budget.Requests == nil || !l.budget.Binds() {
		wish.Requests = manyRequests
	}
	return wish
}

// low reports whether the lease will run dry within moments, so that it is topped up
// before a request has to wait for it.
func (l *lease) low(now time.Time) bool {
	const moments = 2
	soon := times(l.rate.AtLeast(l.taken), moments)
	return !l.gone && !l.window.Concurrent() && now.After(l.exact) && soon != (billing.Amount{}) && !l.free().Covers(soon)
}

// over reports whether the window has ended, allowing for differences between clocks,
// so that nothing more can be held in it.
func (l *lease) over(now time.Time) bool {
	return !l.window.End.IsZero() && now.After(l.window.End.Add(time.Minute))
}

// narrowed reports whether a limit of the budget is lower than when the lease was
// granted. It relies on keys that are up to a second old, and so may see the change in
// reverse: what the database was asked with just now is not new.
func (l *lease) narrowed(b *billing.Budget) bool {
	if !lower(b, &l.budget) {
		return false
	}
	return !sameLimits(b, &l.asOf) ||
		time.Since(l.asOfTime) > asOfFor
}

// asOfFor is longer than keys are remembered while the database answers.
const asOfFor = 2 * time.Second

func sameLimits(a, b *billing.Budget) bool {
	return same(a.Tokens, b.Tokens) && same(a.Money, b.Money) && same(a.Requests, b.Requests)
}

func same[T int64 | billing.Money](a, b *T) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

// lower reports whether a limit of a is lower than that of b.
func lower(a, b *billing.Budget) bool {
	return less(a.Tokens, b.Tokens) || less(a.Money, b.Money) || less(a.Requests, b.Requests) || a.Binds() && !b.Binds()
}

// less compares limits; nil means no limit.
func less[T int64 | billing.Money](a, b *T) bool {
	return a != nil && (b == nil || *a < *b)
}

func times(a billing.Amount, n int64) billing.Amount {
	return billing.Amount{
		Tokens: billing.SatMul(a.Tokens, n), Money: billing.SatMul(a.Money, billing.Money(n)), Requests: billing.SatMul(a.Requests, n),
	}.AtMost(billing.MostHeld())
}
