package lease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/journal"
	"tallyroute/billing/sqlite"
)

// hooked is a store of which single calls go wrong.
type hooked struct {
	billing.Store
	path    string                                           // of its file
	onGrant func(granted []billing.Granted, err error) error // after the store has answered
	onPost  func() error                                     // before it is asked
	posted  func(error) error                                // after it has answered
}

func (h *hooked) Grant(ctx context.Context, r billing.Replica, w []billing.Want) ([]billing.Granted, bool, error) {
	granted, ok, err := h.Store.Grant(ctx, r, w)
	if h.onGrant != nil {
		if err := h.onGrant(granted, err); err != nil {
			return nil, false, err
		}
	}
	return granted, ok, err
}

func (h *hooked) Post(ctx context.Context, p billing.Posting) (billing.Posted, error) {
	if h.onPost != nil {
		if err := h.onPost(); err != nil {
			return billing.Posted{}, err
		}
	}
	posted, err := h.Store.Post(ctx, p)
	if h.posted != nil {
		err = h.posted(err)
	}
	return posted, err
}

// alone is a ledger with a key of 1000 tokens, in a time of its own.
func alone(t *testing.T, test func(w *walk, n *node, h *hooked)) {
	path := NewSQLite(t)
	synctest.Test(t, func(t *testing.T) {
		store, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		w := &walk{t: t, store: store.Contracts(), grace: make(map[string]billing.Amount), limits: make(map[string]billing.Amount)}
		w.random = rand.New(rand.NewPCG(1, 1))
		w.begin()
		w.limit(keyBudget, billing.ScopeKey, "key_1", billing.Amount{Tokens: 1000, Requests: 1000})
		h := &hooked{Store: store.Contracts(), path: path}
		w.links = &unreliable{h.Store.With(h), w.random, 0}
		log, err := journal.Open(t.TempDir(), journal.Options{Sync: journal.SyncOff, SegmentBytes: 4096, Keep: 10 * time.Minute})
		w.must(err)
		l, err := Open(h, log, Options{Replica: log.ID(), Name: "alone", Report: func(err error) { t.Log(err) }})
		w.must(err)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = l.Run(ctx)
		}()
		test(w, &node{name: "alone", log: log, Ledger: l}, h)
		stop()
		<-done
		_ = log.Close()
	})
}

// use holds and settles the given number of tokens.
func (w *walk) use(n *node, tokens int64) {
	w.t.Helper()
	h := w.request(billing.Amount{Tokens: tokens})
	_, err := n.Reserve(w.t.Context(), h, time.Now())
	w.must(err)
	_, err = n.Settle(w.t.Context(), billing.Settlement{
		HoldID:   h.ID,
		Attempts: []billing.Spend{w.row(h.ID, billing.Amount{Tokens: tokens}, time.Now())},
	})
	w.must(err)
}

// leased returns what all replicas together have leased, and the number of replicas.
func (w *walk) leased() (sum billing.Amount, replicas int) {
	states, err := w.store.ListReplicas(w.t.Context())
	w.must(err)
	for _, s := range states {
		sum = sum.Plus(s.Leased)
	}
	return sum, len(states)
}

// TestGrantWhoseAnswerIsLostIsGivenBack: an idle replica does not keep a grant that it does not
// know of.
func TestGrantWhoseAnswerIsLostIsGivenBack(t *testing.T) {
	alone(t, func(w *walk, n *node, h *hooked) {
		time.Sleep(2 * time.Second)
		h.onGrant = func([]billing.Granted, error) error { return errLost }
		_, err := n.Reserve(w.t.Context(), w.request(billing.Amount{Tokens: 900}), time.Now())
		if !errors.Is(err, billing.ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
		if sum, _ := w.leased(); sum.Tokens < 900 {
			t.Fatalf("%+v is leased", sum)
		}
		time.Sleep(time.Minute)
		h.onGrant = nil
		time.Sleep(2*idleAfter + time.Minute)
		if sum, _ := w.leased(); sum.Tokens != 0 {
			t.Errorf("%+v is leased by a replica that knows nothing of it", sum)
		}
		w.use(n, 1000)
	})
}

// TestPostingOfAnOldEpochDoesNotEndTheNewOne: a replica that was forgotten while it was cut off,
// with a posting in flight, starts over only once.
func TestPostingOfAnOldEpochDoesNotEndTheNewOne(t *testing.T) {
	alone(t, func(w *walk, n *node, h *hooked) {
		w.use(n, 10)
		time.Sleep(2 * time.Second)
		h.onPost = func() error { return fmt.Errorf("%w: cut off", billing.ErrUnavailable) }
		w.use(n, 10)
		time.Sleep(2 * time.Second) // the posting is under way
		w.must(w.store.Return(w.t.Context(), n.log.ID(), ""))
		time.Sleep(3 * time.Second) // it notices, and starts over
		first := n.replica.Epoch
		w.use(n, 10)
		h.onPost = nil
		time.Sleep(10 * time.Second)
		if n.replica.Epoch != first {
			t.Error("it has begun anew once more")
		}
		if _, replicas := w.leased(); replicas != 1 {
			t.Errorf("%d replicas are known", replicas)
		}
		w.must(n.Flush(w.t.Context()))
		if balances, err := w.store.Balances(w.t.Context(), &w.key, time.Now()); err != nil || balances[0].UsedTokens != 30 {
			t.Errorf("%+v, %v", balances, err)
		}
		time.Sleep(3 * idleAfter)
		if sum, _ := w.leased(); sum.Tokens != 0 {
			t.Errorf("%+v is leased by nobody", sum)
		}
	})
}

// TestDatabaseThatHasGoneBackInTimeStrandsNothing: after an older copy of the database
// was restored, what the replica had leased in it is given back.
func TestDatabaseThatHasGoneBackInTimeStrandsNothing(t *testing.T) {
	alone(t, func(w *walk, n *node, _ *hooked) {
		w.use(n, 10)
		time.Sleep(2 * time.Second)
		w.must(n.Flush(w.t.Context()))
		n.mu.Lock()
		n.seq += 5 // as if so many postings had been lost with the database
		before := n.replica.Epoch
		n.mu.Unlock()
		w.use(n, 10)
		time.Sleep(5 * time.Second)
		if n.replica.Epoch == before {
			t.Error("it has not begun anew")
		}
		w.must(n.Flush(w.t.Context()))
		time.Sleep(3 * idleAfter)
		if sum, replicas := w.leased(); sum.Tokens != 0 || replicas != 1 {
			t.Errorf("%+v is leased by %d replicas", sum, replicas)
		}
		w.use(n, 980)
	})
}

// TestQuietReplicaNoticesADatabaseThatHasGoneBackInTime, without anything to post.
func TestQuietReplicaNoticesADatabaseThatHasGoneBackInTime(t *testing.T) {
	alone(t, func(w *walk, n *node, _ *hooked) {
		w.use(n, 10)
		w.must(n.Flush(w.t.Context()))
		time.Sleep(2 * time.Second)
		n.mu.Lock()
		n.seq += 5 // as if so many postings had been lost with the database
		before := n.replica.Epoch
		n.mu.Unlock()
		time.Sleep(3 * time.Second)
		if n.replica.Epoch == before {
			t.Error("it has not begun anew")
		}
		if sum, replicas := w.leased(); sum.Tokens != 0 || replicas != 1 {
			t.Errorf("%+v is leased by %d replicas", sum, replicas)
		}
		w.use(n, 990)
	})
}

// TestGrantOfALeaseThatWasLetGoOfIsGivenBack: both the answer and the lease that it was for are
// lost.
func TestGrantOfALeaseThatWasLetGoOfIsGivenBack(t *testing.T) {
	alone(t, func(w *walk, n *node, h *hooked) {
		time.Sleep(2 * time.Second)
		h.onGrant = func([]billing.Granted, error) error {
			n.mu.Lock()
			clear(n.leases)
			n.mu.Unlock()
			h.onGrant = nil
			return errLost
		}
		_, err := n.Reserve(w.t.Context(), w.request(billing.Amount{Tokens: 900}), time.Now())
		if !errors.Is(err, billing.ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
		time.Sleep(2*idleAfter + time.Minute)
		if sum, _ := w.leased(); sum.Tokens != 0 {
			t.Errorf("%+v is leased by a replica that knows nothing of it", sum)
		}
	})
}

// TestLeasesOfADeadProcessComeBackWithItsJournal, as soon as what it settled is posted.
func TestLeasesOfADeadProcessComeBackWithItsJournal(t *testing.T) {
	alone(t, func(w *walk, n *node, _ *hooked) {
		time.Sleep(2 * time.Second)
		before := billing.Replica{ID: n.log.ID(), Epoch: "before", TTL: time.Hour}
		_, err := w.store.Renew(w.t.Context(), before, billing.Joining)
		w.must(err)
		line := w.request(billing.Amount{}).Lines[0]
		_, _, err = w.store.Grant(w.t.Context(), before, []billing.Want{{HoldLine: line, Need: billing.Amount{Tokens: 900}}})
		w.must(err)
		n.mu.Lock()
		n.returned = "" // as it is after a start
		settled := &entry{
			id: "req_before", epoch: formerEpoch,
			rows: []billing.Spend{w.row("req_before", billing.Amount{Tokens: 900}, time.Now())},
		}
		n.earlier++
		n.mu.Unlock()
		time.Sleep(3 * time.Second)
		if sum, _ := w.leased(); sum.Tokens != 900 {
			t.Errorf("%+v is leased while what was settled is not posted", sum)
		}
		n.mu.Lock()
		n.ending++
		n.mu.Unlock()
		n.queueUp(settled, settled.rows)
		w.must(n.Flush(w.t.Context()))
		time.Sleep(renewEvery)
		if sum, _ := w.leased(); sum.Tokens >= 900 {
			t.Errorf("%+v is still leased", sum)
		}
	})
}

// TestWhatADeadProcessLeasedIsLeftUntilItsRowsArePosted, whether anything of its
// journal was posted before it died or not: others would be granted what is used.
func TestWhatADeadProcessLeasedIsLeftUntilItsRowsArePosted(t *testing.T) {
	for name, posted := range map[string]int64{"NothingWasPosted": 0, "SomethingWas": 10} {
		t.Run(name, func(t *testing.T) {
			alone(t, func(w *walk, other *node, h *hooked) {
				n := w.start("first", w.t.TempDir())
				w.must(n.joins(w.t.Context()))
				if posted > 0 {
					w.use(n, posted)
					for n.round(w.t.Context()) {
					}
				}
				w.use(n, 800)
				w.must(n.log.Close()) // it dies
				n = w.start("again", n.dir)
				w.must(n.joins(w.t.Context()))
				n.returnEarlier(w.t.Context())
				if _, err := other.Reserve(w.t.Context(), w.request(billing.Amount{Tokens: 300}), time.Now()); err == nil {
					t.Errorf("300 of 1000 were admitted where %d were used", posted+800)
				}
				time.Sleep(2 * renewEvery)
				for n.round(w.t.Context()) {
				}
				n.returnEarlier(w.t.Context())
				w.wantUsed(w.store, posted+800)
				if sum, _ := w.leased(); sum.Tokens > 100 {
					t.Errorf("%+v is leased once all is posted", sum)
				}
				w.must(n.log.Close())
			})
		})
	}
}

// TestNothingIsGrantedBeforeARestoredDatabaseHasWhatItLost: otherwise the lost usage would be
// granted again.
func TestNothingIsGrantedBeforeARestoredDatabaseHasWhatItLost(t *testing.T) {
	alone(t, func(w *walk, n *node, h *hooked) {
		older := h.copied(w)
		w.use(n, 800)
		w.must(n.Flush(w.t.Context()))
		cut := true
		h.Store, h.onPost = older, func() error {
			if cut {
				return errLost
			}
			return nil
		}
		time.Sleep(3 * renewEvery) // it notices, and cannot post
		ask := func() error {
			_, err := n.Reserve(w.t.Context(), w.request(billing.Amount{Tokens: 300}), time.Now())
			return err
		}
		if err := ask(); !errors.Is(err, billing.ErrUnavailable) {
			t.Errorf("300 of 1000 where the database has lost 800: %v", err)
		}
		cut = false
		time.Sleep(3 * renewEvery)
		var refused *billing.QuotaError
		if err := ask(); !errors.As(err, &refused) {
			t.Errorf("300 of 1000 where 800 are used: %v", err)
		}
	})
}

// TestWhatAFencedEpochLeasedIsLeftUntilItsRequestsArePosted: a request may be in flight, about to be
// written, settled, or on its way to the database.
func TestWhatAFencedEpochLeasedIsLeftUntilItsRequestsArePosted(t *testing.T) {
	alone(t, func(w *walk, other *node, h *hooked) {
		n := w.start("fenced", w.t.TempDir())
		ctx := w.t.Context()
		w.must(n.joins(ctx))
		request := w.request(billing.Amount{Tokens: 800})
		_, err := n.Reserve(ctx, request, time.Now())
		w.must(err)
		n.mu.Lock()
		n.fence(n.replica.Epoch)
		n.mu.Unlock()
		w.must(n.joins(ctx))
		refused := func(state string) {
			t.Helper()
			time.Sleep(2 * renewEvery)
			n.returnEarlier(ctx)
			if _, err := other.Reserve(ctx, w.request(billing.Amount{Tokens: 300}), time.Now()); err == nil {
				t.Errorf("300 of 1000 were admitted beside 800 that are %s", state)
			}
		}
		refused("under way")
		e := n.end(request.ID)
		refused("being written")
		n.queueUp(e, []billing.Spend{w.row(request.ID, billing.Amount{Tokens: 800}, time.Now())})
		refused("settled")
		h.onPost = func() error { refused("on their way"); h.onPost = nil; return errLost }
		n.round(ctx)
		refused("on their way again")
		for n.round(ctx) {
		}
		n.returnEarlier(ctx)
		w.wantUsed(w.store, 800)
		if sum, _ := w.leased(); sum.Tokens > 100 {
			t.Errorf("%+v is leased once all is posted", sum)
		}
		w.must(n.log.Close())
	})
}
