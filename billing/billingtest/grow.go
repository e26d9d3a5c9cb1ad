package billingtest

import (
	"errors"
	"sync"
	"time"

	"tallyroute/billing"
)

// again asks for another attempt of a hold after one that used a, and says what
// both are booked with if nothing else is heard of them.
func (w *world) again(k *billing.Key, h billing.Hold, a amount) error {
	w.Helper()
	a.money = max(0, a.money)
	failed := w.row(k, h.ID, a, h.IfLost.OccurredAt)
	failed.Status, failed.UsageSource, failed.Final = billing.StatusError, billing.Bounded, false
	next := h.IfLost
	next.Attempt = 2
	return w.Retry(w.Context(), h.ID, billing.Amount{Tokens: a.tokens, Money: a.money}, []billing.Spend{failed, next})
}

// holdGrows: what an attempt is charged is added to the hold for the next attempt, or there
// is no next attempt.
func holdGrows(w *world) {
	k := w.key(amount{100, 1000}.budget("bud_1"))
	h := w.hold(k, amount{40, 400})
	w.reserve(h)
	w.must(w.again(k, h, amount{0, 0}))
	w.wantStanding(k, "bud_1", w.now, standing{held: amount{40, 400}})
	w.must(w.again(k, h, amount{40, 400}))
	w.wantStanding(k, "bud_1", w.now, standing{held: amount{80, 800}})
	w.wantRefused(w.again(k, h, amount{21, 1}), "bud_1")
	w.wantRefused(w.again(k, h, amount{1, 201}), "bud_1")
	w.wantStanding(k, "bud_1", w.now, standing{held: amount{80, 800}})
	_, err := w.Reserve(w.Context(), w.hold(k, amount{21, 1}), w.now)
	w.wantRefused(err, "bud_1")
	w.must(w.again(k, h, amount{20, 200}))

	w.settle(k, h, amount{60, 600})
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{60, 600}})
	if err := w.again(k, h, amount{1, 1}); !errors.Is(err, billing.ErrNoHold) {
		w.Errorf("a hold that has ended grows: %v", err)
	}

	given := w.hold(k, amount{20, 200})
	w.reserve(given)
	w.must(w.again(k, given, amount{20, 200}))
	w.must(w.Release(w.Context(), given.ID))
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{60, 600}})

	free := w.key()
	most := w.hold(free, amount{0, billing.MostHeld().Money})
	w.reserve(most)
	w.must(w.again(free, most, amount{1, 1}))
	w.must(w.Release(w.Context(), most.ID))
	CheckSums(w, w.Store, w.now)
}

// holdGrowsInAll: if one budget has no room, nothing is taken from any.
func holdGrowsInAll(w *world) {
	k := w.manyBudgets()
	h := w.hold(k, amount{10, 100})
	w.reserve(h)
	before, err := w.Balances(w.Context(), k, w.now)
	w.must(err)
	var refused *billing.QuotaError
	if err := w.again(k, h, amount{90, 900}); !errors.As(err, &refused) {
		w.Fatalf("%v, want a refusal", err)
	}
	after, err := w.Balances(w.Context(), k, w.now)
	w.must(err)
	w.wantSame("balances", after, before)
	w.settle(k, h, amount{10, 100})
	CheckSums(w, w.Store, w.now)
}

// holdGrowsForAll: many holds growing at once get what there is, and no more.
func holdGrowsForAll(w *world) {
	const requests, room = 8, 5
	k := w.key(amount{10*requests + 10*room, -1}.budget("bud_1"))
	holds := make([]billing.Hold, requests)
	for i := range holds {
		holds[i] = w.hold(k, tokens(10))
		w.reserve(holds[i])
	}
	var wg sync.WaitGroup
	errs := make([]error, requests)
	for i := range holds {
		wg.Go(func() { errs[i] = w.again(k, holds[i], tokens(10)) })
	}
	wg.Wait()
	granted := int64(0)
	var refused *billing.QuotaError
	for _, err := range errs {
		if err == nil {
			granted++
		} else if !errors.As(err, &refused) {
			w.Errorf("%v, want a refusal", err)
		}
	}
	if granted != room {
		w.Errorf("%d of %d grew, there was room for %d", granted, requests, room)
	}
	w.wantStanding(k, "bud_1", w.now, standing{held: amount{10*requests + 10*granted, 0}})
	for i := range holds {
		w.settle(k, holds[i], tokens(10))
	}
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{10 * requests, 0}})
	CheckSums(w, w.Store, w.now)
}

// holdGrownSwept: all attempts of a dead process are booked, and everything that was held
// for them is given back.
func holdGrownSwept(w *world) {
	k := w.key(amount{100, 1000}.budget("bud_1"))
	h := w.hold(k, amount{40, 400})
	w.reserve(h)
	w.must(w.again(k, h, amount{7, 70}))
	_, err := w.Sweep(w.Context(), h.ExpiresAt.Add(time.Second))
	w.must(err)
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{47, 470}})
	if rows := w.events(k); len(rows) != 2 {
		w.Errorf("rows %+v", rows)
	}
	CheckSums(w, w.Store, w.now)
}
