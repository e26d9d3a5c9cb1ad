package lease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest"
	"tallyroute/billing/journal"
	"tallyroute/billing/sqlite"
)

// busyStore behaves like a server: it changes counters one at a time, takes some time for each
// change, and notifies all listeners if a replica ran dry.
type busyStore struct {
	billing.Store
	counter chan struct{} // held by whoever moves the counter
	asked   *atomic.Int64 // grants
	dry     *listeners
}

// listeners holds the ledgers to notify if a replica ran dry.
type listeners struct {
	mu    sync.Mutex
	wakes []func()
}

const (
	grantTakes   = time.Millisecond
	postingTakes = 5 * time.Millisecond
)

func (b busyStore) alone(takes time.Duration) func() {
	b.counter <- struct{}{}
	time.Sleep(takes)
	return func() { <-b.counter }
}

func (b busyStore) Grant(ctx context.Context, r billing.Replica, w []billing.Want) ([]billing.Granted, bool, error) {
	defer b.alone(grantTakes)()
	b.asked.Add(1)
	granted, ok, err := b.Store.Grant(ctx, r, w)
	if slices.ContainsFunc(granted, func(g billing.Granted) bool { return g.Idle }) {
		b.dry.mu.Lock()
		defer b.dry.mu.Unlock()
		for _, wake := range b.dry.wakes {
			wake()
		}
	}
	return granted, ok, err
}

func (b busyStore) Post(ctx context.Context, p billing.Posting) (billing.Posted, error) {
	defer b.alone(postingTakes)()
	return b.Store.Post(ctx, p)
}

func (b busyStore) Wanted(ctx context.Context, wake func()) error {
	b.dry.mu.Lock()
	b.dry.wakes = append(b.dry.wakes, wake)
	b.dry.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

// TestNearALimitNobodyWaitsLong: 64 clients at each of several replicas use up a budget. Of the
// requests within its last tenth, and of those that are refused, hardly any waits longer than half a
// second of simulated time.
func TestNearALimitNobodyWaitsLong(t *testing.T) {
	for _, replicas := range []int{1, 3} {
		t.Run(fmt.Sprint(replicas), func(t *testing.T) {
			path := NewSQLite(t)
			synctest.Test(t, func(t *testing.T) { nearALimit(t, path, replicas) })
		})
	}
}

func nearALimit(t *testing.T, path string, replicas int) {
	const limit, clients, refusals = 60_000, 64, 5
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := &walk{t: t, store: s.Contracts(), grace: make(map[string]billing.Amount), limits: make(map[string]billing.Amount)}
	w.random = rand.New(rand.NewPCG(1, 1))
	w.begin()
	w.limit(topBudget, billing.ScopeOrg, "org", billing.Amount{Tokens: endless, Money: endless, Requests: 1 << 30})
	w.limit(keyBudget, billing.ScopeKey, "key_1", billing.Amount{Tokens: limit, Money: endless, Requests: 1 << 30})
	busy := busyStore{s.Contracts(), make(chan struct{}, 1), new(atomic.Int64), new(listeners)}
	ctx, stop := context.WithCancel(t.Context())
	var running, crowd sync.WaitGroup
	near := nearness{t: t, w: w, limit: limit}
	for n := range replicas {
		log, err := journal.Open(t.TempDir(), journal.Options{Sync: journal.SyncOff})
		w.must(err)
		defer log.Close()
		l, err := Open(busy, log, Options{Replica: log.ID(), Name: fmt.Sprint(n), Report: func(err error) { t.Error(err) }})
		w.must(err)
		running.Go(func() { _ = l.Run(ctx) })
		for i := range clients {
			random := rand.New(rand.NewPCG(uint64(n), uint64(i)))
			crowd.Go(func() {
				for refused := 0; refused < refusals; {
					if !near.ask(l, random) {
						refused++
					}
				}
			})
		}
	}
	crowd.Wait()
	stop()
	running.Wait()
	slices.Sort(near.took)
	at := func(percent int) time.Duration {
		return near.took[(len(near.took)-1)*percent/100].Round(time.Millisecond)
	}
	t.Logf("%d of %d used; %d near the limit: p50 %s, p90 %s, p99 %s, longest %s; asked %d times", near.used, limit, len(near.took),
		at(50), at(90), at(99), at(100), busy.asked.Load())
	if near.used > limit || near.used < limit*98/100 {
		t.Errorf("%d tokens used of %d", near.used, limit)
	}
	if at(99) > 500*time.Millisecond {
		t.Errorf("p99 is %s", at(99))
	}
}

// TestABusyMinuteIsGrantedAtOnce: a per-minute budget that was busy at the end of the previous
// minute gets all that it will need with its first request, and not block by block.
func TestABusyMinuteIsGrantedAtOnce(t *testing.T) {
	path := NewSQLite(t)
	synctest.Test(t, func(t *testing.T) {
		const everySecond = 200
		s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		w := &walk{t: t, store: s.Contracts(), grace: make(map[string]billing.Amount), limits: make(map[string]billing.Amount)}
		w.random = rand.New(rand.NewPCG(1, 1))
		w.begin()
		requests := int64(1_000_000)
		minute := billing.Budget{ID: "bud_m", Scope: billing.ScopeKey, ScopeID: "key_1", Period: billing.PeriodMinute, Requests: &requests}
		w.must(billingtest.SetBudget(t.Context(), w.store, minute, time.Now()))
		w.key, err = w.store.KeyByHash(t.Context(), [32]byte{1})
		w.must(err)
		w.key.Budgets = slices.DeleteFunc(w.key.Budgets, func(b billing.Budget) bool { return b.ID != minute.ID })
		busy := busyStore{s.Contracts(), make(chan struct{}, 1), new(atomic.Int64), new(listeners)}
		log, err := journal.Open(t.TempDir(), journal.Options{Sync: journal.SyncOff})
		w.must(err)
		defer log.Close()
		l, err := Open(busy, log, Options{Replica: log.ID(), Report: func(err error) { t.Error(err) }})
		w.must(err)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = l.Run(ctx) })
		next := time.Now().Truncate(time.Minute).Add(time.Minute)
		asked := func(from, until time.Duration) int64 {
			before := busy.asked.Load()
			for at := next.Add(from); at.Before(next.Add(until)); at = at.Add(time.Second / everySecond) {
				time.Sleep(time.Until(at))
				h := w.request(billing.Amount{Tokens: 1})
				_, err := l.Reserve(t.Context(), h, at)
				w.must(err)
				_, err = l.Settle(t.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{w.row(h.ID, h.Amount(), at)}})
				w.must(err)
			}
			return busy.asked.Load() - before
		}
		first, second := asked(-1500*time.Millisecond, 0), asked(0, 500*time.Millisecond)
		stop()
		running.Wait()
		t.Logf("granted %d times at first, and %d times in the next minute", first, second)
		if first < 2 || second > 2 {
			t.Errorf("granted %d times at first, and %d times in the next minute; want at most 2", first, second)
		}
	})
}

// nearness is what comes of the clients together.
type nearness struct {
	t     *testing.T
	w     *walk
	limit int64

	mu   sync.Mutex
	used int64
	took []time.Duration // by those that asked near the limit
}

// ask makes one request that uses half of its hold, and reports whether it was admitted.
func (n *nearness) ask(l *Ledger, random *rand.Rand) bool {
	n.mu.Lock()
	hold := 20 + random.Int64N(20)
	h := n.w.request(billing.Amount{Tokens: hold})
	n.mu.Unlock()
	began := time.Now()
	_, err := l.Reserve(n.t.Context(), h, began)
	took := time.Since(began)
	n.mu.Lock()
	if n.used > n.limit*9/10 {
		n.took = append(n.took, took)
	}
	n.mu.Unlock()
	if err != nil {
		if !errors.As(err, new(*billing.QuotaError)) {
			n.t.Error(err)
		}
		return false
	}
	time.Sleep(20*time.Millisecond + time.Duration(random.Int64N(int64(30*time.Millisecond))))
	used := billing.Amount{Tokens: hold / 2}
	n.mu.Lock()
	row := n.w.row(h.ID, used, time.Now())
	n.used += used.Tokens
	n.mu.Unlock()
	if _, err := l.Settle(n.t.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{row}}); err != nil {
		n.t.Error(err)
	}
	return true
}
