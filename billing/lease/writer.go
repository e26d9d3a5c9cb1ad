package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tallyroute/billing"
)

// The pauses between two attempts at a posting while the database is unavailable.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 2 * time.Second
	// linger lets a few settlements accumulate after a quiet period.
	linger = 5 * time.Millisecond
)

// posting is one batch to be posted.
type posting struct {
	billing.Posting
	entries []*entry
	moves   map[*lease]*move
	flushes int64 // calls of Flush that it answers, if it includes everything queued at that time
	queued  int64 // where the queue ended when it was made
	refused int   // how often the database refused its only request because of its contents
}

// sureOfRow is how often a row must have been refused, on its own, before it is set
// aside.
const sureOfRow = 2

// move is what a posting changes in a lease.
type move struct{ covered, spent, owed billing.Amount }

// moved returns what the posting changes in a lease, to be added to.
func (p *posting) moved(le *lease) *move {
	m := p.moves[le]
	if m == nil {
		m = new(move)
		p.moves[le] = m
	}
	return m
}

// settled returns the entries of a posting; none for nil.
func (p *posting) settled() []*entry {
	if p == nil {
		return nil
	}
	return p.entries
}

// arrived returns what the posting in progress has done to a lease, according to an
// answer that includes our postings up to seen. The lock is held.
func (l *Ledger) arrived(le *lease, seen int64) move {
	if l.onWay == nil || seen <= l.seq || l.onWay.Replica.Epoch != l.replica.Epoch {
		return move{}
	}
	if m := l.onWay.moves[le]; m != nil {
		return *m
	}
	return move{}
}

// write posts settlements until ctx ends.
func (l *Ledger) write(ctx context.Context) {
	retry := firstRetry
	for {
		select {
		case <-l.wakeWriter:
		case <-ctx.Done():
			return
		}
		sleep(ctx, linger)
		// Only a known replica posts: until then, what it leased before cannot be told
		// apart from what other replicas have.
		for began := time.Now(); l.joined.Load() && l.round(ctx); began = time.Now() {
			if retry = firstRetry; !l.urgent() {
				l.rest(ctx, l.pause()-time.Since(began))
			}
		}
		if l.behind() { // the database is unavailable
			sleep(ctx, retry)
			retry = min(2*retry, lastRetry)
			wake(l.wakeWriter)
		}
	}
}

// few is a batch so small that the next one need not wait long for more entries.
const few = 16

// pause returns how long after the start of the last batch the next one may begin.
func (l *Ledger) pause() time.Duration {
	if l.last < few {
		return l.o.Pause / 10
	}
	return l.o.Pause
}

// rest waits between two postings, unless somebody is in a hurry.
func (l *Ledger) rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.hurry:
		sleep(ctx, linger)
	case <-ctx.Done():
	}
}

// urgent reports whether somebody is waiting, or there is more than one batch.
func (l *Ledger) urgent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flushes > l.flushed || len(l.queue) >= l.o.Batch
}

func (l *Ledger) behind() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, le := range l.changed {
		if le.doubt {
			return true
		}
	}
	return len(l.queue) > 0 || l.doubted != nil || l.flushes > l.flushed || l.pending != nil
}

// round posts one batch and reports whether there may be another. A batch that may or
// may not have arrived is posted again unchanged.
func (l *Ledger) round(ctx context.Context) bool {
	if !l.proven(ctx) {
		return false
	}
	if l.pending == nil {
		l.clearDoubts(ctx)
		l.pending = l.gather()
	}
	p := l.pending
	if p == nil {
		return false
	}
	err := l.post(ctx, p)
	var bad *billing.RowError
	switch {
	case err == nil:
		l.pending, l.last = nil, len(p.entries)
		l.shrink()
		return true
	case errors.As(err, &bad) && len(p.entries) > 1:
		return l.bisect(ctx, p)
	case errors.As(err, &bad) && len(p.entries) == 1:
		return l.reject(ctx, p, bad)
	}
	l.o.Report(fmt.Errorf("billing/lease: posting %d settlements: %w", len(p.entries), err))
	return false
}

// clearDoubts asks the database how much is leased to us where it may be more than we
// know. No posting is in progress, so the two can be compared.
func (l *Ledger) clearDoubts(ctx context.Context) {
	wants, leases, replica := l.doubtful()
	for i, le := range leases {
		granted, _, err := l.store.Grant(ctx, replica, wants[i:i+1])
		l.mu.Lock()
		switch {
		case err == nil && len(granted) == 1:
			le.amount, le.doubt = granted[0].Leased.Minus(le.owed), false
		case errors.Is(err, billing.ErrStaleKey): // nobody can use the budget any more
			le.doubt = false
		}
		l.mu.Unlock()
		giveUp(leases[i : i+1])
	}
}

// doubtful returns the leases in doubt for which nobody is asking, and wants that ask
// for nothing from them.
func (l *Ledger) doubtful() (wants []billing.Want, leases []*lease, r billing.Replica) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, le := range l.changed {
		if le.doubt && l.joined.Load() && le.unasked() {
			leases = append(leases, le)
			wants = append(wants, billing.Want{HoldLine: billing.HoldLine{Budget: le.budget, Window: le.window}})
		}
	}
	return wants, leases, l.replica
}

// gather makes the next posting, if there is anything to post.
func (l *Ledger) gather() *posting {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.queue), l.o.Batch)
	p := &posting{entries: l.queue[:n:n], flushes: l.flushes, queued: l.posted + int64(len(l.queue))}
	p.Replica = l.replica
	if n > 0 || l.flushes > l.flushed || l.owes() || len(l.events) > 0 {
		l.queue, l.onWay = l.queue[n:], p
		l.fill(p)
		return p
	}
	return nil
}

// owes reports whether something that was given up has yet to be given back.
func (l *Ledger) owes() bool {
	for _, le := range l.changed {
		if le.owed != (billing.Amount{}) {
			return true
		}
	}
	return false
}

// fill sets the rows and the lease changes of p. The lock is held.
func (l *Ledger) fill(p *posting) {
	p.moves = make(map[*lease]*move)
	p.Events, l.events = append(p.Events, l.events...), nil
	for _, e := range p.entries {
		p.Rows = append(p.Rows, e.rows...)
		for i, le := range e.leases {
			m := p.moved(le)
			m.covered, m.spent = m.covered.Plus(e.covered[i]), m.spent.Plus(le.counted(e))
		}
	}
	now := time.Now()
	for _, le := range l.changed {
		if le.gone {
			continue
		}
		if le.exact.After(now) {
			le.giveBack()
		}
		_, moved := p.moves[le]
		if moved || le.owed != (billing.Amount{}) || l.flushes > l.flushed && le.busy() != le.shown {
			p.moved(le).owed = le.owed
		}
	}
	for le, m := range p.moves {
		if le.gone {
			continue
		}
		p.Leases = append(p.Leases, billing.LeaseChange{
			BudgetID: le.id.BudgetID, WindowStart: le.id.WindowStart,
			Down: m.covered.Plus(m.owed), Busy: le.busy().Minus(m.covered),
		})
		le.shown = le.busy().Minus(m.covered)
	}
	l.changed.tidy()
}

// post sends p and applies the result.
func (l *Ledger) post(ctx context.Context, p *posting) error {
	asked := time.Now()
	l.mu.Lock()
	if p.Replica.Epoch == l.replica.Epoch {
		p.Seq = l.seq + 1
	}
	l.mu.Unlock()
	ctx, cancel := lasting(ctx)
	defer cancel()
	done, err := l.store.Post(ctx, p.Posting)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case p.Replica.Epoch != l.replica.Epoch: // we have started over since
	case done.Fenced && !l.joined.Load(): // the first posting was faster than the first renewal
		l.fence(p.Replica.Epoch)
	case done.Fenced:
		l.fence(p.Replica.Epoch)
		l.o.Report(fmt.Errorf("billing/lease: %w, or its leases are not what they were: the rows are posted, and it starts over",
			billing.ErrFenced))
	default:
		l.seq++
		l.heard(asked)
	}
	if n := len(p.Rows); n > 0 {
		last := p.Rows[n-1]
		l.confirmed = &last
	}
	for le, m := range p.moves {
		le.posted(m.covered, m.spent)
		le.owed = le.owed.Minus(m.owed)
	}
	for _, b := range done.Balances {
		le := l.of(b)
		switch {
		case le == nil:
		case p.Replica.Epoch != l.replica.Epoch: // its number belongs to a different sequence
			le.stands(b, le.seen, move{})
		default:
			le.stands(b, p.Seq, move{})
			l.thresholds(le, b)
		}
	}
	l.finish(p)
	return nil
}

// thresholds reports, with the next posting, which thresholds of its limits a window has
// reached. A threshold that any replica has already reported is not reported again. The lock
// is held.
func (l *Ledger) thresholds(le *lease, b billing.Balance) {
	passed := b.Passed(time.Now())
	more := len(passed) > le.passed
	if le.passed = len(passed); !more { // fewer after a raise
		return
	}
	l.events = append(l.events, passed...)
	wake(l.wakeWriter)
}

// lastWords is how long a posting in progress may take once the ledger ends.
const lastWords = time.Second

// lasting returns ctx extended by lastWords: shutting down does not cut off an answer
// that is about to arrive, and an unresponsive database does not delay the shutdown.
func lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	last, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(lastWords, cancel) })
	return last, func() {
		stop()
		cancel()
	}
}

// finish drops the entries of p and answers everybody who waits for them.
func (l *Ledger) finish(p *posting) {
	l.onWay = nil
	for _, e := range p.entries {
		l.forget(e)
		l.uncover(e)
		l.stops.posted(e)
	}
	if l.posted += int64(len(p.entries)); len(p.entries) > 0 {
		l.done()
	}
	if l.posted >= p.queued {
		l.flushed = max(l.flushed, p.flushes)
	}
	l.postings++
	close(l.onPosted)
	l.onPosted = make(chan struct{})
	if len(l.queue) > 0 || l.flushes > l.flushed {
		wake(l.wakeWriter)
	}
}

// bisect posts the first half of p and leaves the rest for later, so that in the end
// the row that the database refuses is alone.
func (l *Ledger) bisect(ctx context.Context, p *posting) bool {
	half := len(p.entries) / 2
	l.mu.Lock()
	l.queue = append(slices.Clone(p.entries[half:]), l.queue...)
	l.mu.Unlock()
	l.pending = l.again(p.entries[:half], p)
	return l.round(ctx)
}

// reject posts p, which is one request, with its rows set aside. If the database
// refuses even that, the rows are not the reason: p stays as it is.
func (l *Ledger) reject(ctx context.Context, p *posting, bad *billing.RowError) bool {
	if p.refused++; p.refused < sureOfRow {
		l.o.Report(fmt.Errorf("billing/lease: posting request %s: %w", p.entries[0].id, bad))
		return false
	}
	aside := *p
	aside.Rows = nil
	for _, row := range p.Rows {
		aside.Rejects = append(aside.Rejects, billing.Reject{Row: row, Reason: bad.Error()})
	}
	if err := l.post(ctx, &aside); err != nil {
		l.o.Report(fmt.Errorf("billing/lease: posting request %s: %w; and without its rows: %w", p.entries[0].id, bad, err))
		return false
	}
	l.pending, l.last = nil, len(p.entries)
	l.rejected.Add(int64(len(p.Rows)))
	l.o.Report(fmt.Errorf("billing/lease: request %s is not in the ledger but in spend_rejects, where it counts against the budgets: %w",
		p.entries[0].id, bad))
	l.shrink()
	return true
}

// Rejected returns how many rows the database has refused because of their contents.
func (l *Ledger) Rejected() int64 { return l.rejected.Load() }

// again returns a posting of fewer entries in place of p, which had no effect.
func (l *Ledger) again(entries []*entry, p *posting) *posting {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := &posting{entries: entries, flushes: p.flushes, queued: p.queued}
	next.Replica, next.Events, l.onWay = l.replica, p.Events, next
	l.fill(next)
	return next
}

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
