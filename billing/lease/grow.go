package lease

import (
	"context"
	"fmt"
	"time"

	"tallyroute/billing"
)

// grow takes more for a request that already holds something, after asking the database
// for what the leases lack.
func (l *Ledger) grow(ctx context.Context, holdID string, more billing.Amount) error {
	if more.Tokens < 0 || more.Money < 0 {
		return fmt.Errorf("billing/lease: hold %q cannot shrink", holdID)
	}
	if more == (billing.Amount{}) {
		return nil
	}
	more = more.AtMost(billing.MostHeld())
	for range mostRounds {
		lines, lacking, err := l.takeMore(holdID, more)
		if err != nil || len(lacking) == 0 {
			return err
		}
		wanted := billing.Hold{ID: holdID, Lines: lines, Tokens: more.Tokens, Money: more.Money, UnderWay: true}
		if err := l.refill(ctx, lacking, &entry{hold: more}, wanted); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: others were faster %d times", billing.ErrUnavailable, mostRounds)
}

// takeMore takes more from the leases in which a request already holds something, from
// all or from none. It returns the leases that lack something, with the lines of the
// hold.
func (l *Ledger) takeMore(holdID string, more billing.Amount) (lines []billing.HoldLine, lacking []*lease, err error) {
	usable, now := l.usable(), time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.open[holdID]
	if e == nil {
		return nil, nil, fmt.Errorf("%w: %s", billing.ErrNoHold, holdID)
	}
	for _, le := range e.leases {
		line := billing.HoldLine{Budget: le.budget, Window: le.window}
		if l.leases[keyOf(&line)] != le {
			return nil, nil, fmt.Errorf("%w: the leases were given back meanwhile", billing.ErrUnavailable)
		}
		lines = append(lines, line)
		if !usable || !le.suffices(more) {
			lacking = append(lacking, le)
		}
	}
	if len(lacking) > 0 {
		return lines, lacking, nil
	}
	for _, le := range e.leases {
		le.take(more, now)
		if le.low(now) {
			wake(l.wakeKeeper)
		}
	}
	e.hold = e.hold.Plus(more)
	return lines, nil, nil
}

// Widen implements billing.Ledger.
func (l *Ledger) Widen(ctx context.Context, holdID string, lines []billing.HoldLine) error {
	for range mostRounds {
		held, lacking, err := l.takeAlso(holdID, lines)
		if err != nil || len(lacking) == 0 {
			return err
		}
		wanted := billing.Hold{ID: holdID, Lines: lines, Tokens: held.Tokens, Money: held.Money}
		if err := l.refill(ctx, lacking, &entry{hold: held}, wanted); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: others were faster %d times", billing.ErrUnavailable, mostRounds)
}

// takeAlso takes what a request holds from further leases as well, from all or from
// none. It returns the leases that lack something, with what is held.
func (l *Ledger) takeAlso(holdID string, lines []billing.HoldLine) (held billing.Amount, lacking []*lease, err error) {
	usable, now := l.usable(), time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.open[holdID]
	if e == nil {
		return held, nil, fmt.Errorf("%w: %s", billing.ErrNoHold, holdID)
	}
	if e.epoch != noEpoch && e.epoch != l.epoch {
		return held, nil, fmt.Errorf("%w: the leases were given back meanwhile", billing.ErrUnavailable)
	}
	also := make([]*lease, len(lines))
	for i, line := range lines {
		also[i] = l.lease(&line)
		if !usable || !also[i].suffices(e.hold) {
			lacking = append(lacking, also[i])
		}
	}
	if len(lacking) > 0 {
		return e.hold, lacking, nil
	}
	for _, le := range also {
		le.take(e.hold, now)
		if le.low(now) {
			wake(l.wakeKeeper)
		}
	}
	if len(e.leases) == 0 {
		e.epoch = l.epoch
		l.admitted++
	}
	e.leases = append(e.leases, also...)
	return e.hold, nil, nil
}
