package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tallyroute/billing"
)

// How long a request that found no room waits for other replicas to give back what they
// do not use, and for how long after that no request waits again.
const (
	reclaimWait = 1500 * time.Millisecond
	reclaimRest = time.Second
	firstLook   = 10 * time.Millisecond
)

// mostRounds is how often a hold is restarted because other requests took the room that
// it had been granted.
const mostRounds = 50

// hold takes e from memory, after asking the database for what the leases lack.
func (l *Ledger) hold(ctx context.Context, e *entry, h billing.Hold) ([]billing.Balance, error) {
	for range mostRounds {
		balances, lacking, err := l.take(e, h)
		if balances != nil || err != nil {
			return balances, err
		}
		if err := l.refill(ctx, lacking, e, h); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: others were faster %d times", billing.ErrUnavailable, mostRounds)
}

// refill asks for what is lacking. Requests that lack the same leases wait for each
// other: a grant to one is often enough for all.
func (l *Ledger) refill(ctx context.Context, lacking []*lease, e *entry, h billing.Hold) error {
	began := time.Now()
	if err := l.queueFor(ctx, lacking, e.hold); err != nil {
		return err
	}
	defer giveUp(lacking)
	if err := l.ready(ctx); err != nil {
		return err
	}
	if err := l.trusted(ctx); err != nil {
		return err
	}
	wants := l.wants(lacking, e, h)
	if len(wants) == 0 {
		return nil // granted to another request in the meantime
	}
	if granted := l.refusedSince(began, wants); granted != nil {
		return l.refusal(granted, h)
	}
	return l.ask(ctx, wants, lacking, h)
}

// queueFor waits for the right to ask for more on these leases; meanwhile its need is
// included in what the holder of that right asks for.
func (l *Ledger) queueFor(ctx context.Context, lacking []*lease, need billing.Amount) error {
	l.wait(lacking, need)
	defer l.leave(lacking, need)
	for i, le := range lacking { // in the order of the hold, which is the same for all requests
		select {
		case <-le.refill:
		case <-ctx.Done():
			giveUp(lacking[:i])
			return fmt.Errorf("%w: waiting for an allowance: %w", billing.ErrUnavailable, ctx.Err())
		}
	}
	return nil
}

func giveUp(leases []*lease) {
	for _, le := range leases {
		le.refill <- struct{}{}
	}
}

// ready makes sure that the database knows us and that the leases are valid.
func (l *Ledger) ready(ctx context.Context) error {
	if l.joined.Load() && l.usable() {
		return nil
	}
	const rest = 200 * time.Millisecond // so that an outage costs each request little
	now := int64(time.Since(l.begun))
	if failed := l.failed.Load(); failed != 0 && now-failed < int64(rest) {
		return fmt.Errorf("%w: no allowance without the database", billing.ErrUnavailable)
	}
	if err := l.renew(ctx); err != nil {
		l.failed.Store(now)
		return fmt.Errorf("%w: no allowance without the database: %w", billing.ErrUnavailable, err)
	}
	return nil
}

// wants lists what the leases still lack for h. What they gave up before must be given
// back first, or it would be in our own way.
func (l *Ledger) wants(lacking []*lease, e *entry, h billing.Hold) []billing.Want {
	l.mu.Lock()
	defer l.mu.Unlock()
	var wants []billing.Want
	for _, line := range h.Lines {
		le := l.lease(&line)
		need := le.lacks(e.hold)
		if !slices.Contains(lacking, le) || le.suffices(e.hold) {
			continue
		}
		wants = append(wants, billing.Want{
			HoldLine: line, Need: need, Wish: le.wish(e.hold, l.o.TTL), Idle: le.idle(),
			Headroom: billing.Amount{Tokens: h.HeadroomTokens, Money: h.HeadroomMoney},
		})
	}
	return wants
}

// ask returns once there is a grant or a refusal. Where other replicas may have idle
// amounts, it waits a moment for them to give these back.
func (l *Ledger) ask(ctx context.Context, wants []billing.Want, lacking []*lease, h billing.Hold) error {
	began, pause := time.Now(), firstLook
	for {
		if err := l.settled(ctx, lacking); err != nil {
			return err
		}
		l.count(wants)
		asked := time.Now()
		granted, ok, err := l.grant(ctx, wants)
		if err != nil || ok {
			return err
		}
		if !l.mayCome(granted, began) {
			l.refused(asked, wants, granted)
			return l.refusal(granted, h)
		}
		l.postNow() // what we have settled may be what is lacking
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return l.refusal(granted, h)
		}
		pause = min(2*pause, 200*time.Millisecond)
	}
}

// settled waits until the database has been told everything that leases owe it: by the
// posting in progress, or by the next one.
func (l *Ledger) settled(ctx context.Context, leases []*lease) error {
	l.mu.Lock()
	enough := l.postings + 2
	l.mu.Unlock()
	return l.posts(ctx, func() bool { return !slices.ContainsFunc(leases, (*lease).unsettled) || l.postings >= enough })
}

// grant asks once and applies the answer.
func (l *Ledger) grant(ctx context.Context, wants []billing.Want) ([]billing.Granted, bool, error) {
	replica := l.asks(wants)
	// What may have been granted must not be lost if the caller goes away.
	granted, ok, err := l.store.Grant(context.WithoutCancel(ctx), replica, wants)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range wants {
		if le := l.leases[keyOf(&w.HoldLine)]; le != nil {
			le.asking = false
		}
	}
	if replica.Epoch != l.replica.Epoch { // this grant is given back with the rest
		return nil, false, l.notKnown(err, replica.Epoch)
	}
	if err != nil {
		l.doubt(wants)
		return nil, false, l.notKnown(err, replica.Epoch)
	}
	for _, g := range granted {
		line := &billing.HoldLine{Budget: g.Balance.Budget, Window: g.Balance.Window}
		le := l.leases[keyOf(line)]
		if le == nil { // given back while we were asking
			le = newLease(line, &l.changed)
			l.leases[keyOf(line)] = le
		}
		if le.granted(g, askedWith(wants, line), l.arrived(le, g.Seq)); g.Exact {
			le.exact = time.Now().Add(exactFor)
		}
	}
	return granted, ok, nil
}

// asks records that a grant is in progress, and returns the replica that it is for.
func (l *Ledger) asks(wants []billing.Want) billing.Replica {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range wants {
		if le := l.leases[keyOf(&w.HoldLine)]; le != nil {
			le.asking = true
		}
	}
	return l.replica
}

// askedWith returns the budget of a line as it was when the grant was asked for.
func askedWith(wants []billing.Want, line *billing.HoldLine) billing.Budget {
	for _, w := range wants {
		if keyOf(&w.HoldLine) == keyOf(line) {
			return w.Budget
		}
	}
	return line.Budget
}

// doubt marks leases that the database may have granted more to than we know, including
// those that were dropped during the request. The writer asks again.
func (l *Ledger) doubt(wants []billing.Want) {
	for _, w := range wants {
		le := l.leases[keyOf(&w.HoldLine)]
		if le == nil {
			le = newLease(&w.HoldLine, &l.changed)
			l.leases[keyOf(&w.HoldLine)] = le
		}
		le.doubt = true
		le.note()
		wake(l.wakeWriter)
	}
}

// notKnown returns why nothing was granted to an epoch. If the epoch is unknown, the
// ledger starts over.
func (l *Ledger) notKnown(err error, epoch string) error {
	if err == nil || errors.Is(err, billing.ErrFenced) {
		l.fence(epoch)
		return fmt.Errorf("%w: the leases were given back meanwhile", billing.ErrUnavailable)
	}
	return err
}

// mayCome reports whether waiting makes sense: what is missing here is idle elsewhere,
// and nobody has just waited for it in vain.
func (l *Ledger) mayCome(granted []billing.Granted, began time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	waited := now.Sub(began) > reclaimWait
	for _, g := range granted {
		if g.Fits {
			continue
		}
		le := l.of(g.Balance)
		if !g.Idle || le == nil || now.Sub(le.asked) < reclaimRest {
			return false
		}
		if waited {
			le.asked = now
			return false
		}
	}
	return true
}

// refusal returns the error for the first window without room. What is idle in our own
// lease counts as free, since fits() works with it.
func (l *Ledger) refusal(granted []billing.Granted, h billing.Hold) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := billing.Refuse(billing.Balance{}, nil, h.Asked())
	for i := range h.Lines {
		line := &h.Lines[i]
		le, b := l.lease(line), billing.Balance{Budget: line.Budget}
		asked := slices.IndexFunc(granted, func(g billing.Granted) bool { return g.Balance.Budget.ID == line.Budget.ID })
		if asked >= 0 {
			b.Budget = granted[asked].Balance.Budget
		}
		le.balance(&b)
		q.All = append(q.All, b)
		if asked >= 0 && !granted[asked].Fits && q.Balance.Budget.ID == "" {
			q.Balance = b
		}
	}
	return q
}
