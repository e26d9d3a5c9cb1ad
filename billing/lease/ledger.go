package lease

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/journal"
)

// Store is the part of billing.Store that the ledger needs.
type Store interface {
	billing.Allowances
	Balances(ctx context.Context, k *billing.Key, now time.Time) ([]billing.Balance, error)
	Wanted(ctx context.Context, wake func()) error
	Events(ctx context.Context, q billing.EventQuery) ([]billing.Spend, error)
}

// Options configure a ledger. Zero values mean the defaults.
type Options struct {
	Replica string         // the id of this process, which stays with its journal
	Name    string         // for people to read
	Zone    *time.Location // for report days; default UTC
	// TTL is how long leases last without the database, and so how long requests
	// continue when it is unavailable. 5 min.
	TTL time.Duration
	// Batch is the maximum number of settlements in one posting; 1000. Pause is the time
	// between two postings while nobody is waiting for them; 200 ms.
	Batch int
	Pause time.Duration
	// Room is the maximum size of the journal at which requests may begin: less than its
	// own limit, so that in-flight requests can still be settled. 0 means any size.
	Room int64
	// Overrun is how far a key may go before it is stopped: the store's own limit.
	Overrun billing.OverrunLimit
	// Recovered is called with the rows of a request that an earlier process began and
	// never ended, as they are booked; it may be nil.
	Recovered func(rows []billing.Spend)
	// Report is called with background faults. It must not block.
	Report func(error)
}

// renewEvery is how often a process shows that it is alive, and the longest it takes to
// notice that other replicas want what it does not use.
const renewEvery = time.Second

// Ledger is a billing.Ledger in memory. Open makes one, Run keeps it going.
type Ledger struct {
	store Store
	log   *journal.Log
	o     Options

	mu      sync.Mutex
	leases  map[windowKey]*lease
	changed changes
	open    map[string]*entry
	ending  int // requests that are neither open nor queued: their last record is being written
	segs    segments
	queue   []*entry // settled, oldest first, yet to be posted
	onWay   *posting // the last one the writer made, while it is not known to have arrived
	// unwritten says that the journal has lost records that are still needed.
	unwritten bool
	posted    int64 // entries ever posted
	queued    int64 // entries ever queued
	// The number of calls of Flush, and how many of them were answered. A round answers
	// the calls that came before it began.
	flushes, flushed int64
	postings         int64         // ever made
	onPosted         chan struct{} // closed, and recreated, after each of them

	stops   stops
	denials billing.Denials
	events  []billing.Event // yet to be posted

	replica   billing.Replica // guarded by mu; its epoch changes when it was fenced
	joined    atomic.Bool
	failed    atomic.Int64 // nanoseconds since begun when the database last did not answer a request; 0 never
	deadline  atomic.Int64 // nanoseconds since begun: leases may not be used after it
	latest    atomic.Int64 // the same by the wall clock, which goes on while a machine is suspended
	begun     time.Time
	heardWant atomic.Bool  // another replica ran dry
	offset    atomic.Int64 // nanoseconds that the database's clock is ahead of ours

	day                    lastDay
	wakeWriter, wakeKeeper chan struct{}
	hurry                  chan struct{} // cuts the writer's rest short
	// What earlier epochs had leased covers what they admitted, and is given back
	// once all of that is posted or released: returned is the epoch that did.
	epoch       int // of this process, counted; those before it had the requests of the journal
	admitted    int // by this epoch, and yet to be posted or released
	earlier     int // the same by the epochs before it
	returned    string
	returnTried time.Time

	rejected atomic.Int64 // rows that were refused because of their contents
	restored atomic.Int64 // rows that the database had lost

	own       journal.Segment   // the first segment of this process
	carried   []journal.Segment // out of which beginnings were copied that are yet to reach the disk; the keeper's own
	confirmed *billing.Spend    // the last row that was posted
	doubted   *billing.Spend    // the row that the database must have, or else it has lost what came before
	onProof   chan struct{}     // closed, and recreated, when doubted is settled

	seq     int64    // of the last posting of the epoch; guarded by mu
	last    int      // settlements in the last posting; the writer's own
	pending *posting // that may or may not have arrived; the writer's own
}

var _ billing.Ledger = (*Ledger)(nil)

// windowKey identifies a lease.
type windowKey struct {
	budget string
	start  int64 // UnixNano of the window's start, 0 if it has none
}

func keyOf(l *billing.HoldLine) windowKey {
	k := windowKey{budget: l.Budget.ID}
	if !l.Window.Start.IsZero() {
		k.start = l.Window.Start.UnixNano()
	}
	return k
}

// of returns the lease of a window, or nil. The lock is held.
func (l *Ledger) of(b billing.Balance) *lease {
	return l.leases[keyOf(&billing.HoldLine{Budget: b.Budget, Window: b.Window})]
}

// Epochs are counted within a process.
const (
	noEpoch     = iota
	formerEpoch // of the processes that wrote the journal before this one
	firstEpoch
)

// entry is a request from its hold to its posting.
type entry struct {
	id      string
	epoch   int // whose leases cover it; none if there is nothing to cover
	hold    billing.Amount
	used    billing.Amount // once settled
	leases  []*lease
	ifLost  []billing.Spend
	rows    []billing.Spend // once settled
	begun   journal.Segment
	settled journal.Segment
	covered []billing.Amount // the part of used that each lease covers
	version int64            // of the key, as it was read
	enabled time.Time        // the same
	before  billing.Amount   // the overrun of the key, likewise as read
	key     *keyOverrun      // while an overrun of the key is yet to be posted
	over    billing.Amount   // that overrun
	first   [1]billing.Spend // room for ifLost
	few     [4]*lease        // room for leases
	some    [4]billing.Amount
}

// Open takes over what an earlier process left in the journal, which must not have been
// appended to, and is then ready to hold. Nothing is posted until Run is called.
func Open(store Store, log *journal.Log, o Options) (*Ledger, error) {
	o.TTL = cmp.Or(o.TTL, 5*time.Minute)
	o.Batch = cmp.Or(o.Batch, 1000)
	o.Pause = cmp.Or(o.Pause, 200*time.Millisecond)
	o.Zone = cmp.Or(o.Zone, time.UTC)
	if o.Report == nil {
		o.Report = func(error) {}
	}
	l := &Ledger{
		store: store, log: log, o: o,
		leases: make(map[windowKey]*lease), open: make(map[string]*entry), segs: newSegments(),
		onPosted: make(chan struct{}), onProof: make(chan struct{}),
		epoch:   firstEpoch,
		stops:   stops{o.Overrun, make(map[billing.KeyID]*keyOverrun)},
		replica: billing.Replica{ID: o.Replica, Epoch: newEpoch(), Name: o.Name, TTL: o.TTL},
		begun:   time.Now(), wakeWriter: make(chan struct{}, 1), wakeKeeper: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
	}
	l.own = log.Active()
	return l, l.replay()
}

// usable reports whether leases may be used now: the database was heard from recently
// enough that nobody can have taken them back. Both clocks must agree: one stops while
// the machine is suspended, the other can be changed.
func (l *Ledger) usable() bool {
	now := time.Now()
	return int64(now.Sub(l.begun)) < l.deadline.Load() && now.UnixNano() < l.latest.Load()
}

// heard records that the database extended our TTL when it was asked.
func (l *Ledger) heard(asked time.Time) {
	margin := min(15*time.Second, l.o.TTL/4)
	until := int64(asked.Sub(l.begun) + l.o.TTL - margin)
	for old := l.deadline.Load(); until > old && !l.deadline.CompareAndSwap(old, until); old = l.deadline.Load() {
	}
	l.latest.Store(asked.Add(l.o.TTL - margin).UnixNano()) // may go back with the clock
}

// Reserve implements billing.Ledger. Whether the key is in force is for the
// verifier to decide, but a key that is stopped by its overruns here is refused at once.
func (l *Ledger) Reserve(ctx context.Context, h billing.Hold, now time.Time) ([]billing.Balance, error) {
	if h.ID == "" || h.Tokens < 0 || h.Money < 0 || h.HeadroomTokens < 0 || h.HeadroomMoney < 0 {
		return nil, fmt.Errorf("billing/lease: hold %q is negative or has no id", h.ID)
	}
	lost, err := l.row(h.IfLost)
	if err != nil {
		return nil, fmt.Errorf("billing/lease: hold %s could not be replayed: %w", h.ID, err)
	}
	e := &entry{id: h.ID, hold: h.Amount()}
	e.version, e.enabled, e.before = h.KeyVersion, h.EnabledAt, h.Overrun
	e.ifLost = append(e.first[:0], lost)
	balances, err := l.hold(ctx, e, h)
	if err != nil {
		l.denied(h, err, now)
		return nil, err
	}
	if err := l.begin(e); err != nil {
		l.drop(e)
		return nil, err
	}
	return balances, nil
}

// take takes e from the leases, from all or from none. If it returns no balances, some
// leases lack something.
func (l *Ledger) take(e *entry, h billing.Hold) (balances []billing.Balance, lacking []*lease, err error) {
	usable, now := l.usable() || len(h.Lines) == 0, time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, twice := l.open[e.id]; twice {
		return nil, nil, fmt.Errorf("%w: hold %s", billing.ErrDuplicate, e.id)
	}
	if l.stops.refuses(h) {
		return nil, nil, fmt.Errorf("%w: its answers took more than was held for them", billing.ErrStopped)
	}
	e.leases = e.few[:0]
	for i := range h.Lines {
		le := l.lease(&h.Lines[i])
		if !usable || !le.suffices(e.hold) {
			lacking = append(lacking, le)
		}
		e.leases = append(e.leases, le)
	}
	if len(lacking) > 0 {
		return nil, lacking, nil
	}
	balances = make([]billing.Balance, len(h.Lines))
	for i, le := range e.leases {
		le.take(e.hold, now)
		balances[i].Budget = h.Lines[i].Budget
		le.balance(&balances[i])
		if le.low(now) {
			wake(l.wakeKeeper)
		}
	}
	if l.open[e.id] = e; len(e.leases) > 0 {
		e.epoch = l.epoch
		l.admitted++
	}
	e.begun = l.log.Active() // pinned before it is written to, so that it is not dropped
	l.segs.pin(e.begun)
	return balances, nil, nil
}

// lease returns the lease of a line, creating it if needed. The lock is held.
func (l *Ledger) lease(line *billing.HoldLine) *lease {
	k := keyOf(line)
	le := l.leases[k]
	if le == nil {
		le = newLease(line, &l.changed)
		le.rate = l.rateBefore(line, k)
		l.leases[k] = le
	}
	le.move(line)
	return le
}

// rateBefore returns the rate of use in the minute before a line's window, so that a busy
// budget doesn't have to learn it again every minute. The lock must be held.
func (l *Ledger) rateBefore(line *billing.HoldLine, k windowKey) (rate billing.Amount) {
	if line.Budget.Period != billing.PeriodMinute {
		return rate
	}
	k.start -= int64(time.Minute)
	if before := l.leases[k]; before != nil {
		rate = before.rate
	}
	return rate
}

// begin writes the attempt to the journal.
func (l *Ledger) begin(e *entry) error {
	if l.o.Room > 0 && l.log.Size() > l.o.Room {
		return fmt.Errorf("%w: %w: what is left is for requests under way", billing.ErrUnavailable, journal.ErrFull)
	}
	seg, err := l.append(recordBegin, e.id, e.ifLost)
	if err != nil {
		return err
	}
	l.moved(&e.begun, seg)
	return nil
}

// append writes a record.
func (l *Ledger) append(kind byte, id string, rows []billing.Spend) (journal.Segment, error) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	*buf = appendRecord((*buf)[:0], kind, id, rows)
	seg, err := l.log.Append(*buf)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", billing.ErrUnavailable, err)
	}
	return seg, nil
}

// moved pins the segment that a record went to, if that differs from the one pinned for
// it.
func (l *Ledger) moved(at *journal.Segment, seg journal.Segment) {
	if *at == seg {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if *at > seg { // written again in the meantime
		return
	}
	l.segs.unpin(*at)
	*at = seg
	l.segs.pin(seg)
}

// drop undoes a hold for which nothing was sent.
func (l *Ledger) drop(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, e.id)
	l.uncover(e)
	l.segs.unpin(e.begun)
	for _, le := range e.leases {
		le.release(e.hold)
	}
}

// uncover records that a request no longer needs its leases: it is posted, or nothing was
// sent. The last such request of earlier epochs frees what those had leased. The lock is held.
func (l *Ledger) uncover(e *entry) {
	switch e.epoch {
	case noEpoch:
	case l.epoch:
		l.admitted--
	default:
		if l.earlier--; l.earlier == 0 {
			wake(l.wakeKeeper)
		}
	}
}

// Retry implements billing.Ledger.
func (l *Ledger) Retry(ctx context.Context, holdID string, more billing.Amount, ifLost []billing.Spend) error {
	rows, err := l.rows(ifLost)
	if err != nil {
		return err
	}
	if err := l.grow(ctx, holdID, more); err != nil {
		return err
	}
	l.mu.Lock()
	e := l.open[holdID]
	if e != nil {
		e.ifLost = rows
	}
	l.mu.Unlock()
	if e == nil {
		return fmt.Errorf("%w: %s", billing.ErrNoHold, holdID)
	}
	_, err = l.append(recordRetry, holdID, rows)
	return err
}

// Settle implements billing.Ledger. Once it returns, the settlement is in the journal
// and will soon be in the database. If the journal cannot be written, the settlement is
// kept in memory; if the process then dies before it is posted, the hold is charged
// instead.
func (l *Ledger) Settle(_ context.Context, st billing.Settlement) ([]billing.Balance, error) {
	rows, err := l.rows(st.Attempts)
	if err != nil {
		return nil, err
	}
	e := l.end(st.HoldID)
	if e == nil {
		return nil, nil
	}
	seg, err := l.append(recordSettle, e.id, rows)
	if err != nil {
		l.o.Report(fmt.Errorf("billing/lease: the settlement of %s is only in memory: %w", e.id, err))
	} else {
		l.moved(&e.settled, seg)
	}
	return l.queueUp(e, rows), nil
}

// end removes a request from those in flight: from here on it belongs to the caller,
// even if others try to end it. The segment of its last record is pinned.
func (l *Ledger) end(holdID string) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.open[holdID]
	if e != nil {
		delete(l.open, holdID)
		l.ending++
		e.settled = l.log.Active()
		l.segs.pin(e.settled)
	}
	return e
}

// queueUp queues a settlement for posting.
func (l *Ledger) queueUp(e *entry, rows []billing.Spend) []billing.Balance {
	e.rows, e.used = rows, billing.Sum(rows)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ending--
	urgent := len(l.queue) >= l.o.Batch
	balances := make([]billing.Balance, len(e.leases))
	e.covered = append(e.some[:0], make([]billing.Amount, len(e.leases))...)
	for i, le := range e.leases {
		e.covered[i] = le.settle(e)
		balances[i].Budget = le.budget
		le.balance(&balances[i])
		urgent = urgent || le.wanted()
	}
	l.queue = append(l.queue, e)
	l.queued++
	urgent = l.stops.settled(e) || urgent // other replicas should hear of it soon
	if urgent {
		l.postNow()
	} else if len(l.queue) == 1 {
		wake(l.wakeWriter)
	}
	return balances
}

// Release implements billing.Ledger.
func (l *Ledger) Release(_ context.Context, holdID string) error {
	e := l.end(holdID)
	if e == nil {
		return nil
	}
	_, err := l.append(recordRelease, holdID, nil)
	l.mu.Lock()
	defer l.mu.Unlock()
	wanted := false
	for _, le := range e.leases {
		le.release(e.hold)
		wanted = wanted || le.wanted()
	}
	if wanted {
		l.flushes++ // other replicas are waiting for it
		l.postNow()
	}
	l.ending--
	l.uncover(e)
	l.segs.unpin(e.settled)
	l.segs.unpin(e.begun)
	if err != nil {
		l.o.Report(fmt.Errorf("billing/lease: the end of %s could not be written: should the process die now, it is charged: %w",
			e.id, err))
	}
	return nil
}
