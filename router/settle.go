package router

import (
	"context"
	"errors"
	"sync"
	"time"

	"tallyroute/billing"
)

// settler brings settlements to the ledger. A client waits for its own only
// briefly: what the database does not take in time is tried again in the
// background until it does. Should the process die meanwhile, the hold is still
// in the database and is swept.
type settler struct {
	ledger   Ledger
	observer Observer
	patience time.Duration
	pending  sync.WaitGroup
	closing  chan struct{}
	once     sync.Once
}

// Between two tries of a settlement.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 5 * time.Second
	// refusals is how often a settlement may be refused by a database that is
	// there. Such a row is at fault itself; its hold is left to be swept.
	refusals = 5
)

func newSettler(l Ledger, o Observer, opts Options) *settler {
	return &settler{ledger: l, observer: o, patience: opts.SettleTimeout, closing: make(chan struct{})}
}

// settle stores s, at once or later. The balances are nil when it is later.
// It does not end with ctx: a client that hangs up still pays.
func (s *settler) settle(ctx context.Context, st billing.Settlement) []billing.Balance {
	ctx = context.WithoutCancel(ctx)
	var balances []billing.Balance
	err := s.try(ctx, func(ctx context.Context) (err error) {
		balances, err = s.ledger.Settle(ctx, st)
		return err
	})
	if err == nil {
		return balances
	}
	s.later(ctx, st.HoldID, err, func(ctx context.Context) error {
		_, err := s.ledger.Settle(ctx, st)
		return err
	})
	return nil
}

// release gives a hold back, at once or later.
func (s *settler) release(ctx context.Context, holdID string) {
	ctx = context.WithoutCancel(ctx)
	give := func(ctx context.Context) error { return s.ledger.Release(ctx, holdID) }
	if err := s.try(ctx, give); err != nil {
		s.later(ctx, holdID, err, give)
	}
}

func (s *settler) try(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	return f(ctx)
}

func (s *settler) later(ctx context.Context, requestID string, cause error, f func(context.Context) error) {
	s.observer.Observe(Record{RequestID: requestID, Event: EventSettleDelayed, Err: cause})
	s.pending.Go(func() {
		refused := 0
		for pause := firstPause; ; pause = min(2*pause, lastPause) {
			last := s.pause(pause)
			err := s.try(ctx, f)
			if err == nil {
				return
			}
			if !errors.Is(err, billing.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
				refused++
			}
			if refused == refusals || last {
				s.observer.Observe(Record{RequestID: requestID, Event: EventSettleLost, Err: err})
				return
			}
		}
	})
}

// pause waits, or says that the process is ending and this try is the last.
func (s *settler) pause(d time.Duration) (last bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return false
	case <-s.closing:
		return true
	}
}

// close waits for what is pending, until ctx ends. Each settlement gets one
// more try at once.
func (s *settler) close(ctx context.Context) error {
	s.once.Do(func() { close(s.closing) })
	done := make(chan struct{})
	go func() { s.pending.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
