package lease

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"tallyroute/billing"
)

// exactFor is how long a window stays exact after we hear that it is. The database
// repeats this for as long as some replica runs dry.
const exactFor = 5 * time.Second

// idleAfter is how long a lease may lie unused before it is given back.
const idleAfter = time.Minute

// Run keeps the ledger going until ctx ends: it posts what is settled, shows the
// database that it is alive, and gives back what other replicas want. While the
// database is unavailable, it keeps retrying.
func (l *Ledger) Run(ctx context.Context) error {
	var jobs sync.WaitGroup
	jobs.Go(func() { l.write(ctx) })
	jobs.Go(func() { l.keep(ctx) })
	jobs.Go(func() { l.listen(ctx) })
	wake(l.wakeWriter) // for replayed entries
	jobs.Wait()
	return nil
}

// keep renews and maintains the leases.
func (l *Ledger) keep(ctx context.Context) {
	every := time.NewTicker(renewEvery)
	defer every.Stop()
	for {
		if err := l.renew(ctx); err != nil && ctx.Err() == nil {
			l.o.Report(fmt.Errorf("billing/lease: renewing the leases: %w", err))
		}
		for ticked := false; !ticked; {
			l.returnEarlier(ctx)
			select {
			case <-every.C:
				l.tend(time.Now())
				l.carry()
				l.look()
				ticked = true
			case <-l.wakeKeeper:
				l.topUp(ctx)
				ticked = l.wanted()
			case <-ctx.Done():
				return
			}
		}
	}
}

// wanted reports whether the database should be asked at once which leases other
// replicas want.
func (l *Ledger) wanted() bool { return l.heardWant.Swap(false) }

// listen hears when other replicas run dry, so that they need not wait for the next
// renewal.
func (l *Ledger) listen(ctx context.Context) {
	for ctx.Err() == nil {
		_ = l.store.Wanted(ctx, func() { // the renewals notice as well, but later
			l.heardWant.Store(true)
			wake(l.wakeKeeper)
		})
		sleep(ctx, renewEvery)
	}
}

// returnEarlier gives back what earlier epochs had leased, once what they admitted is
// in the database and so counts as used.
func (l *Ledger) returnEarlier(ctx context.Context) {
	l.mu.Lock()
	replica, due := l.replica, l.joined.Load() && l.earlier == 0 && l.doubted == nil && l.returned != l.replica.Epoch &&
		time.Since(l.returnTried) >= renewEvery
	if due {
		l.returnTried = time.Now()
	}
	l.mu.Unlock()
	if !due {
		return
	}
	if err := l.store.Return(ctx, replica.ID, replica.Epoch); err != nil {
		l.o.Report(fmt.Errorf("billing/lease: giving back what was leased before: %w", err))
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.returned = replica.Epoch
}

// renew shows that we are alive, and gives back what other replicas want.
func (l *Ledger) renew(ctx context.Context) error {
	l.mu.Lock()
	if l.joined.Load() && !l.usable() && l.concurrent() { // what was under way here may have been granted to others
		l.fence(l.replica.Epoch)
	}
	replica, seq := l.replica, l.seq
	l.mu.Unlock()
	join := billing.Join(!l.joined.Load())
	asked := time.Now()
	h, err := l.store.Renew(ctx, replica, join)
	if err != nil {
		return err
	}
	l.offset.Store(int64(h.Now.Sub(asked.Add(time.Since(asked) / 2))))
	l.mu.Lock()
	defer l.mu.Unlock()
	if replica.Epoch != l.replica.Epoch {
		return nil
	}
	if h.Fenced {
		l.fence(replica.Epoch)
		return billing.ErrFenced
	}
	if h.Seq < seq {
		l.fence(replica.Epoch)
		return errBehind
	}
	if l.joined.Store(true); join == billing.Joining {
		wake(l.wakeWriter)
	}
	l.heard(asked)
	now := time.Now()
	for _, id := range h.Exact {
		if le := l.of(billing.Balance{Budget: billing.Budget{ID: id.BudgetID}, Window: billing.Window{Start: id.WindowStart}}); le != nil {
			le.exact = now.Add(exactFor)
			le.giveBack()
		}
	}
	if len(h.Exact) > 0 {
		l.flushes++ // other replicas want to see what is busy
		l.postNow()
	}
	return nil
}

// concurrent reports whether there is a lease on a limit of concurrent requests, which
// the database takes back as soon as it expires. The lock is held.
func (l *Ledger) concurrent() bool {
	for _, le := range l.leases {
		if le.window.Concurrent() {
			return true
		}
	}
	return false
}

// errBehind means that the database lacks something that it has confirmed.
var errBehind = errors.New("the database is older than what it has confirmed: it was restored, or lost what was written last")

// fence starts over when the database no longer knows the leases of an epoch, unless
// that was noticed before. In-flight requests continue; what they use is posted without
// a lease. The lock is held.
func (l *Ledger) fence(epoch string) {
	if epoch != l.replica.Epoch {
		return
	}
	for _, le := range l.leases {
		le.gone = true
	}
	clear(l.leases)
	l.changed.tidy()
	l.replica.Epoch = newEpoch()
	l.earlier, l.admitted = l.earlier+l.admitted, 0
	l.epoch++
	l.seq, l.returnTried = 0, time.Time{}
	if l.doubted == nil && l.confirmed != nil {
		l.doubted = l.confirmed
		wake(l.wakeWriter)
	}
	l.joined.Store(false)
	l.deadline.Store(0)
	wake(l.wakeKeeper)
	l.heardWant.Store(true)
}

// tendAtOnce is how many leases are tended before other goroutines get the lock.
const tendAtOnce = 1000

// tend advances the rates and gives back what is idle.
func (l *Ledger) tend(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	keys := slices.Collect(maps.Keys(l.leases))
	for n, k := range keys {
		if n%tendAtOnce == tendAtOnce-1 {
			l.mu.Unlock()
			l.mu.Lock()
		}
		if le := l.leases[k]; le != nil && l.tendOne(le, now) {
			le.gone = true
			delete(l.leases, k)
		}
	}
	if l.owes() {
		wake(l.wakeWriter)
	}
}

// tendOne reports whether nothing is left of a lease.
func (l *Ledger) tendOne(le *lease, now time.Time) bool {
	le.tick()
	if le.held != (billing.Amount{}) || le.covered != (billing.Amount{}) || now.Sub(le.touched) <= idleAfter && !le.over(l.Now()) {
		return false
	}
	if le.idle() != (billing.Amount{}) {
		le.giveBack()
	}
	return le.amount == (billing.Amount{}) && le.owed == (billing.Amount{}) && !le.doubt
}

// topUp asks for more for the leases that are about to run dry.
func (l *Ledger) topUp(ctx context.Context) {
	if !l.joined.Load() || !l.usable() {
		return
	}
	wants, leases := l.lowOnes(time.Now())
	if len(wants) == 0 {
		return
	}
	for i, le := range leases {
		granted, ok, err := l.grant(ctx, wants[i:i+1])
		if err != nil && !errors.Is(err, billing.ErrStaleKey) {
			l.o.Report(fmt.Errorf("billing/lease: asking for an allowance ahead: %w", err))
		}
		l.mu.Lock()
		if err != nil && len(granted) == 0 { // the budget no longer exists, or the database is unavailable
			le.topped = le.topped.Add(idleAfter)
		} else if !ok { // used up: the rest is for requests that need it
			le.exact = time.Now().Add(exactFor)
			le.note()
		}
		l.mu.Unlock()
	}
	giveUp(leases)
}

// lowOnes returns the leases that will run dry soon and for which nobody is asking.
func (l *Ledger) lowOnes(now time.Time) (wants []billing.Want, leases []*lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.doubted != nil {
		return nil, nil
	}
	for _, le := range l.changed {
		if !le.low(now) || now.Sub(le.topped) < renewEvery/2 || !le.unasked() {
			continue
		}
		le.topped = now
		wants = append(wants, billing.Want{
			HoldLine: billing.HoldLine{Budget: le.budget, Window: le.window},
			Wish:     le.wish(billing.Amount{}, l.o.TTL), Idle: le.idle(),
		})
		leases = append(leases, le)
	}
	return wants, leases
}
