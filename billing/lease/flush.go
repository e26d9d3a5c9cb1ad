package lease

import (
	"context"
	"fmt"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/journal"
)

// Balances implements billing.Ledger: it returns the database's balances once
// everything settled here is included.
func (l *Ledger) Balances(ctx context.Context, k *billing.Key, now time.Time) ([]billing.Balance, error) {
	if err := l.Flush(ctx); err != nil {
		return nil, err
	}
	return l.store.Balances(ctx, k, now)
}

// Flush waits until everything settled before the call is in the database, and what
// in-flight requests hold is visible there.
func (l *Ledger) Flush(ctx context.Context) error {
	l.mu.Lock()
	l.flushes++
	mine := l.flushes
	l.mu.Unlock()
	return l.posts(ctx, func() bool { return l.flushed >= mine })
}

// posts makes the writer post until done, which is called under the lock, reports true.
func (l *Ledger) posts(ctx context.Context, done func() bool) error {
	for {
		l.mu.Lock()
		ends, onPosted := done(), l.onPosted
		l.mu.Unlock()
		if ends {
			return nil
		}
		l.postNow()
		select {
		case <-onPosted:
		case <-ctx.Done():
			return fmt.Errorf("%w: settlements are yet to be stored: %w", billing.ErrUnavailable, ctx.Err())
		}
	}
}

// Now returns the time by the database's clock where ours differs by more than a
// second, so that replicas whose clocks differ agree on the windows of budgets. Until
// the database has been heard from, it is our own time.
func (l *Ledger) Now() time.Time {
	offset := time.Duration(l.offset.Load())
	if offset.Abs() < time.Second {
		offset = 0
	}
	return time.Now().Add(offset)
}

// Unavailable returns nil while requests can be held, that is, while the journal can be
// written.
func (l *Ledger) Unavailable() error {
	if l.o.Room > 0 && l.log.Size() > l.o.Room {
		return fmt.Errorf("billing/lease: %w: the database is behind", journal.ErrFull)
	}
	if err := l.log.Err(); err != nil {
		return fmt.Errorf("billing/lease: the journal cannot be written: %w", err)
	}
	return nil
}

// Until returns when the leases stop being usable unless the database is heard from
// again; zero where they are not usable now.
func (l *Ledger) Until() time.Time {
	if !l.joined.Load() || !l.usable() {
		return time.Time{}
	}
	return l.begun.Add(time.Duration(l.deadline.Load()))
}

// Backlog returns how many settlements are yet to be stored, and how many requests are
// in flight.
func (l *Ledger) Backlog() (settlements, open int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int(l.queued - l.posted), len(l.open)
}

// postNow wakes the writer, even from its rest.
func (l *Ledger) postNow() {
	wake(l.hurry)
	wake(l.wakeWriter)
}

// wake wakes the receiver once, however often it is called before that.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
