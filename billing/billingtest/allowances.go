package billingtest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"tallyroute/billing"
)

// limitedBy lists the ways in which a budget may be limited.
var limitedBy = map[string]func(amount) amount{
	"Tokens":  func(a amount) amount { return amount{a.tokens, -1} },
	"Dollars": func(a amount) amount { return amount{-1, a.money} },
	"Both":    func(a amount) amount { return a },
}

// byLimit makes a case for each way in which a budget may be limited.
func byLimit(cases map[string]func(w *world, limited func(amount) amount)) map[string]func(w *world) {
	all := make(map[string]func(w *world))
	for name, test := range cases {
		for by, limited := range limitedBy {
			all[name+"/"+by] = func(w *world) { test(w, limited) }
		}
	}
	return all
}

func allowanceCases() map[string]func(w *world) {
	return byLimit(map[string]func(w *world, limited func(amount) amount){
		"GrantIsRationedOnlyWhereThereIsALimit":  grantRations,
		"OneReplicaCannotStrandABudget":          grantLeavesOthers,
		"WhatLiesIdleIsNotGrantedOnceMore":       grantCountsIdle,
		"ThoseThatWaitAreServedTogether":         grantServesThoseThatWait,
		"ForgottenReplicaKeepsWhatItWasUsing":    forgetKeepsBusy,
		"RejectedRowsCountOnceUntilBooked":       rejectCounts,
		"RejectedRowThatIsPostedLaterCountsOnce": rejectPosted,
		"MoveThatCannotBeFencesAndPostsTheRows":  moveImpossible,
	})
}

// replica registers a replica.
func (w *world) replica() billing.Replica {
	w.Helper()
	r := billing.Replica{ID: w.id("replica"), Epoch: "epoch", TTL: time.Minute}
	_, err := w.Renew(w.Context(), r, billing.Joining)
	w.must(err)
	return r
}

// grant requests one window of a key with one budget.
func (w *world) grant(r billing.Replica, k *billing.Key, need, wish billing.Amount) (billing.Granted, bool) {
	w.Helper()
	window, err := k.Budgets[0].Window(w.now)
	w.must(err)
	line := billing.HoldLine{Budget: k.Budgets[0], Window: window}
	granted, ok, err := w.Grant(w.Context(), r, []billing.Want{{HoldLine: line, Need: need, Wish: wish}})
	w.must(err)
	if len(granted) != 1 {
		w.Fatalf("granted %+v", granted)
	}
	return granted[0], ok
}

// grantRations: for what is limited, a sixteenth of what is left is granted beyond the
// need, and nothing once somebody has run dry; for what isn't limited, as much as
// requested.
func grantRations(w *world, limited func(amount) amount) {
	k := w.key(limited(amount{16_010, 32_020}).budget("bud_1"))
	need, wish := billing.Amount{Tokens: 10, Money: 20}, billing.Amount{Tokens: 500_000, Money: 700_000}
	rationed := func(got billing.Granted, tokens int64, money billing.Money) {
		w.Helper()
		want := wish
		if k.Budgets[0].Tokens != nil {
			want.Tokens = tokens
		}
		if k.Budgets[0].Money != nil {
			want.Money = money
		}
		if got.Amount != want {
			w.Errorf("granted %+v, want %+v", got.Amount, want)
		}
	}
	first, second := w.replica(), w.replica()
	got, ok := w.grant(first, k, need, wish)
	if !ok {
		w.Fatalf("refused: %+v", got)
	}
	rationed(got, 10+1000, 20+2000)
	if got.Leased != got.Amount {
		w.Errorf("leased %+v of %+v", got.Leased, got.Amount)
	}

	// The second one runs dry, so the first one has to give back.
	if got, ok = w.grant(second, k, billing.Amount{Tokens: 15_001, Money: 30_001}, wish); ok || !got.Idle {
		w.Fatalf("a grant beyond what is left: %t, %+v", ok, got)
	}
	if got, ok = w.grant(second, k, need, wish); !ok || !got.Exact {
		w.Fatalf("a grant of a window that is exact: %t, %+v", ok, got)
	}
	rationed(got, 10, 20)
}

// grantServesThoseThatWait: what other requests of a replica are waiting for is granted as
// far as there is room, in addition to what is to remain. None of it counts as idle.
func grantServesThoseThatWait(w *world, limited func(amount) amount) {
	k := w.key(limited(amount{16_000, 32_000}).budget("bud_1"))
	window, err := k.Budgets[0].Window(w.now)
	w.must(err)
	first, second := w.replica(), w.replica()
	want := billing.Want{
		HoldLine: billing.HoldLine{Budget: k.Budgets[0], Window: window},
		Need:     billing.Amount{Tokens: 100, Money: 200}, Waiting: billing.Amount{Tokens: 7900, Money: 15_800},
	}
	ask := func(r billing.Replica, tokens int64, money billing.Money) {
		w.Helper()
		granted, ok, err := w.Grant(w.Context(), r, []billing.Want{want})
		w.must(err)
		got := granted[0]
		limits := k.Budgets[0]
		if !ok || limits.Tokens != nil && got.Amount.Tokens != tokens || limits.Money != nil && got.Amount.Money != money {
			w.Fatalf("granted %t, %+v; want %d, %d", ok, got.Amount, tokens, money)
		}
	}
	ask(first, 8000, 16_000)
	if got, ok := w.grant(second, k, billing.Amount{Tokens: 8001, Money: 16_001}, billing.Amount{}); ok || got.Idle {
		w.Errorf("beyond what is left: %t, %+v", ok, got)
	}
	want.Headroom, want.Waiting = billing.Amount{Tokens: 50, Money: 100}, billing.Amount{Tokens: 10_000, Money: 20_000}
	ask(second, 7950, 15_900)
	want.Headroom = billing.Amount{}
	if got, ok, err := w.Grant(w.Context(), first, []billing.Want{want}); err != nil || ok {
		w.Errorf("beside those that wait there is no room for one: %+v, %v", got, err)
	}
}

// grantLeavesOthers: a replica that asks for all it can get, but whose requests use little
// of it, leaves most of a budget to others.
func grantLeavesOthers(w *world, limited func(amount) amount) {
	k := w.key(limited(amount{1_000_000, 2_000_000}).budget("bud_1"))
	greedy, other := w.replica(), w.replica()
	for range 5 {
		if got, ok := w.grant(greedy, k, billing.Amount{Tokens: 1, Money: 1}, billing.Amount{Tokens: 10_000_000, Money: 10_000_000}); !ok {
			w.Fatalf("refused: %+v", got)
		}
	}
	if got, ok := w.grant(other, k, billing.Amount{Tokens: 700_000, Money: 1_400_000}, billing.Amount{}); !ok {
		w.Errorf("nothing is left for others: %+v", got)
	}
}

// grantCountsIdle: a replica that lacks one thing, or asks in advance, ends up with a
// sixteenth of what is left lying idle and no more, however often it asks.
func grantCountsIdle(w *world, limited func(amount) amount) {
	k := w.key(limited(amount{1_600_000, 3_200_000}).budget("bud_1"))
	window, err := k.Budgets[0].Window(w.now)
	w.must(err)
	r, idle := w.replica(), billing.Amount{}
	for range 50 {
		granted, ok, err := w.Grant(w.Context(), r, []billing.Want{{
			HoldLine: billing.HoldLine{Budget: k.Budgets[0], Window: window},
			Wish:     billing.Amount{Tokens: 10_000_000, Money: 10_000_000}, Idle: idle,
		}})
		w.must(err)
		if !ok {
			w.Fatalf("refused: %+v", granted)
		}
		idle = idle.Plus(granted[0].Amount)
	}
	if k.Budgets[0].Tokens != nil && idle.Tokens > 100_000 || k.Budgets[0].Money != nil && idle.Money > 200_000 {
		w.Errorf("%+v lies idle with one replica", idle)
	}
	if idle.Tokens > 10_000_000 || idle.Money > 10_000_000 {
		w.Errorf("more is leased than was ever wished for: %+v", idle)
	}
}

// forgetKeepsBusy: what a replica was using when it was last heard of is given to nobody
// until it is back or is forgotten once more.
func forgetKeepsBusy(w *world, limited func(amount) amount) {
	k := w.key(limited(amount{160_000, 320_000}).budget("bud_1"))
	for name, back := range map[string]func(id string) error{
		"back on its journal": func(id string) error { return w.Return(w.Context(), id, "") },
		"forgotten once more": func(id string) error { _, err := w.ForgetReplica(w.Context(), id); return err },
		"lost for long":       func(string) error { _, err := w.ForgetLost(w.Context(), 0); return err },
	} {
		r := billing.Replica{ID: w.id("replica"), Epoch: "epoch", TTL: 300 * time.Millisecond}
		_, err := w.Renew(w.Context(), r, billing.Joining)
		w.must(err)
		need := billing.Amount{Tokens: 100, Money: 200}
		if _, ok := w.grant(r, k, need, billing.Amount{Tokens: 5000, Money: 5000}); !ok {
			w.Fatal("refused")
		}
		for refused := true; refused; {
			_, err := w.ForgetReplica(w.Context(), r.ID)
			if refused = errors.As(err, new(*billing.ConflictError)); !refused {
				w.must(err)
			}
		}
		if got := w.leasedBy(r.ID); got != need {
			w.Errorf("%s: %+v is leased, want what was used: %+v", name, got, need)
		}
		if h, err := w.Renew(w.Context(), r, billing.Staying); err != nil || !h.Fenced {
			w.Errorf("%s: %+v, %v", name, h, err)
		}
		w.must(back(r.ID))
		if got := w.leasedBy(r.ID); got != (billing.Amount{}) {
			w.Errorf("%s: %+v is leased by nobody", name, got)
		}
	}
}

// leasedBy returns what a replica has leased in all its epochs.
func (w *world) leasedBy(id string) (sum billing.Amount) {
	w.Helper()
	list, err := w.ListReplicas(w.Context())
	w.must(err)
	for _, r := range list {
		if r.ID == id {
			sum = sum.Plus(r.Leased)
		}
	}
	return sum
}

// Link is the connection of an in-memory ledger to a store: it counts requests, and can be
// cut.
type Link struct {
	billing.Store
	Grants atomic.Int64
	Cut    atomic.Bool
	// OnPost may change a posting, or fail it. It must not change the replica.
	OnPost atomic.Pointer[func(p *billing.Posting) error]
}

var errCut = errors.Join(billing.ErrUnavailable, errors.New("the link is cut"))

// Renew calls the store while the link is up.
func (l *Link) Renew(ctx context.Context, r billing.Replica, first billing.Join) (billing.Heartbeat, error) {
	if l.Cut.Load() {
		return billing.Heartbeat{}, errCut
	}
	return l.Store.Renew(ctx, r, first)
}

// Grant calls the store while the link is up.
func (l *Link) Grant(ctx context.Context, r billing.Replica, wants []billing.Want) ([]billing.Granted, bool, error) {
	l.Grants.Add(1)
	if l.Cut.Load() {
		return nil, false, errCut
	}
	return l.Store.Grant(ctx, r, wants)
}

// Post calls the store while the link is up.
func (l *Link) Post(ctx context.Context, p billing.Posting) (billing.Posted, error) {
	if l.Cut.Load() {
		return billing.Posted{}, errCut
	}
	if on := l.OnPost.Load(); on != nil {
		if err := (*on)(&p); err != nil {
			return billing.Posted{}, err
		}
	}
	return l.Store.Post(ctx, p)
}

// leaseCases are only for in-memory ledgers behind a Link.
func leaseCases() map[string]func(w *world) {
	return byLimit(map[string]func(w *world, limited func(amount) amount){
		"LeaseServesManyRequestsAndAnOutage":      leaseServes,
		"RefusedRowIsKeptAsideAndTheOthersPosted": leaseRejects,
		"FaultOfTheDatabaseRejectsNothing":        leaseKeepsBatch,
		"MoveThatCannotBeDoesNotStopPosting":      leaseImpossible,
	})
}

// link returns the ledger and its link to the store.
func (w *world) link() (Leased, *Link) {
	w.Helper()
	leased, ok := w.Store.Database.(Leased)
	if !ok {
		w.Fatalf("%T has no lease", w.Store.Database)
	}
	link, ok := leased.Store.Database.(*Link)
	if !ok {
		w.Fatalf("%T cannot be cut", leased.Store)
	}
	return leased, link
}

// leaseServes: consecutive requests are served from few grants, which leave most of the
// budget to others, and continue while the database is unreachable.
func leaseServes(w *world, limited func(amount) amount) {
	_, link := w.link()
	const requests = 200
	k := w.key(limited(amount{10_000_000, 20_000_000}).budget("bud_1"))
	for range requests {
		w.use(k, amount{100, 200}, w.now)
	}
	if n := link.Grants.Load(); n > requests/4 {
		w.Errorf("%d grants for %d requests", n, requests)
	}
	if got, ok := w.grant(w.replica(), k, billing.Amount{Tokens: 7_000_000, Money: 14_000_000}, billing.Amount{}); !ok {
		w.Errorf("after %d requests nothing is left for others: %+v", requests, got)
	}

	peak := w.hold(k, amount{10_000, 20_000})
	w.reserve(peak)
	w.must(w.Release(w.Context(), peak.ID))
	link.Cut.Store(true)
	for range requests {
		w.use(k, amount{100, 200}, w.now)
	}
	link.Cut.Store(false)
	if rows := w.events(k); len(rows) != 2*requests {
		w.Errorf("%d rows of %d", len(rows), 2*requests)
	}
}
