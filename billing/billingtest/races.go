package billingtest

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tallyroute/billing"
)

func raceCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"ExactlyAsManyAsFit": raceAdmits,
		"ManyLimitsAtOnce":   raceManyLimits,
		"NeverMoreThanLimit": func(w *world) { raceRandom(w, 6, w.Store) },
		"ManyKeysOneTeam":    raceSharedOwners,
		"SettleOnce":         raceSettle,
		"SweepAndSettle":     raceSweep,
		"BudgetsChange":      raceBudgets,
		"OneBudgetForEach":   func(w *world) { raceSameBudget(w, w.Store) },
		"RevokedIsRevoked":   raceRevoke,
	}
}

// Race tests that several stores on one database, as in several processes, never
// admit more than a limit between them.
func Race(t *testing.T, stores ...billing.Store) {
	w := &world{T: t, Store: stores[0], now: noon(), ids: new(atomic.Int64)}
	raceRandom(w, 6, stores...)
	raceAdmitsOn(w, stores...)
	raceSameBudget(w, stores...)
}

// raceSameBudget: however many callers set a limit for one scope and period at
// once, they make one budget, and no change is lost.
func raceSameBudget(w *world, stores ...billing.Store) {
	p := w.project("race", "same")
	var made atomic.Int64
	each(w.Context(), 16, func(ctx context.Context, i int) {
		b := tokens(0).budget("")
		b.Scope, b.ScopeID = billing.ScopeTeam, p.TeamID
		_, err := stores[i%len(stores)].UpdateBudget(ctx, b, func(b *billing.Budget, existed bool) error {
			if !existed {
				made.Add(1)
			}
			more := *b.Tokens + 1
			b.Tokens = &more
			return nil
		}, w.now)
		if err != nil {
			w.Error(err)
		}
	})
	all, err := w.ListBudgets(w.Context(), billing.BudgetFilter{})
	w.must(err)
	all = slices.DeleteFunc(all, func(b billing.Budget) bool { return b.ScopeID != p.TeamID })
	if made.Load() != 1 || len(all) != 1 || *all[0].Tokens != 16 {
		w.Errorf("%d were made of 16 at once: %+v", made.Load(), all)
	}
}

func raceAdmits(w *world) { raceAdmitsOn(w, w.Store) }

// raceAdmitsOn sends 64 × 8 requests against a limit with room for 100.
func raceAdmitsOn(w *world, stores ...billing.Store) {
	k := w.key(tokens(1000).budget(w.id("bud")))
	var admitted, refused atomic.Int64
	each(w.Context(), 64, func(ctx context.Context, i int) {
		for range 8 {
			_, err := stores[i%len(stores)].Reserve(ctx, w.hold(k, tokens(10)), w.now)
			var quota *billing.QuotaError
			switch {
			case err == nil:
				admitted.Add(1)
			case errors.As(err, &quota):
				refused.Add(1)
			default:
				w.Error(err)
			}
		}
	})
	if admitted.Load() != 100 || refused.Load() != 412 {
		w.Errorf("admitted %d and refused %d of 512, want 100 and 412", admitted.Load(), refused.Load())
	}
	w.wantStanding(k, k.Budgets[0].ID, w.now, standing{held: amount{1000, 0}})
}

func raceManyLimits(w *world) {
	k := w.manyBudgets() // the team's is the tightest: 50 tokens and 400 in money
	var admitted atomic.Int64
	each(w.Context(), 200, func(ctx context.Context, _ int) {
		h := w.hold(k, amount{5, 40})
		if _, err := w.Reserve(ctx, h, w.now); err != nil {
			return
		}
		admitted.Add(1)
		if _, err := w.Settle(ctx, billing.Settlement{
			HoldID:   h.ID,
			Attempts: []billing.Spend{w.row(k, h.ID, amount{5, 40}, w.now)},
		}); err != nil {
			w.Error(err)
		}
	})
	if admitted.Load() != 10 {
		w.Errorf("admitted %d, want 10", admitted.Load())
	}
	CheckSums(w, w.Store, w.now)
}

// raceRandom spends a random quota in random amounts, in rounds of 64 concurrent
// requests. At most the quota is settled, and exactly the remainder is left.
func raceRandom(w *world, rounds int, stores ...billing.Store) {
	rnd := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // the same numbers every time
	for range rounds {
		quota := 200 + rnd.Int64N(2000)
		k := w.key(amount{quota, billing.Money(3 * quota)}.budget(w.id("bud")))
		held, actual := make([]int64, 64), make([]int64, 64)
		for i := range held {
			held[i] = 1 + rnd.Int64N(100)
			actual[i] = rnd.Int64N(held[i] + 1)
		}
		var settled atomic.Int64
		each(w.Context(), len(held), func(ctx context.Context, i int) {
			s := stores[i%len(stores)]
			h := w.hold(k, amount{held[i], billing.Money(3 * held[i])})
			_, err := s.Reserve(ctx, h, w.now)
			var quota *billing.QuotaError
			if errors.As(err, &quota) {
				return
			}
			if err != nil {
				w.Error(err)
				return
			}
			if i%8 == 0 {
				err = s.Release(ctx, h.ID)
			} else {
				settled.Add(actual[i])
				_, err = s.Settle(ctx, billing.Settlement{
					HoldID:   h.ID,
					Attempts: []billing.Spend{w.row(k, h.ID, amount{actual[i], billing.Money(3 * actual[i])}, w.now)},
				})
			}
			if err != nil {
				w.Error(err)
			}
		})
		used := settled.Load()
		if used > quota {
			w.Errorf("settled %d on a quota of %d", used, quota)
		}
		w.wantStanding(k, k.Budgets[0].ID, w.now, standing{used: amount{used, billing.Money(3 * used)}})
		_, err := w.Reserve(w.Context(), w.hold(k, amount{quota - used + 1, 0}), w.now)
		w.wantRefused(err, k.Budgets[0].ID)
		w.use(k, amount{quota - used, billing.Money(3 * (quota - used))}, w.now)
	}
	CheckSums(w, w.Store, w.now)
}

// raceSharedOwners: writers that share some of their budgets lock them in the same
// order, and never deadlock.
func raceSharedOwners(w *world) {
	w.plenty(w.manyBudgets())
	var keys []*billing.Key
	for i := range 8 {
		p := w.project([]string{"web", "data"}[i%2], []string{"shop", "lake", "blog"}[i%3])
		keys = append(keys, w.keyIn(p, tokens(1_000_000).budget(w.id([]string{"aaa", "bud", "zzz"}[i%3]))))
	}
	for i := range keys {
		keys[i] = w.reread(keys[i])
	}
	each(w.Context(), 200, func(ctx context.Context, i int) {
		k := keys[i%len(keys)]
		h := w.hold(k, amount{10, 10})
		if _, err := w.Reserve(ctx, h, w.now); err != nil {
			w.Error(err)
			return
		}
		first, second := w.row(k, h.ID, amount{int64(i % 10), 3}, w.now), w.row(k, h.ID, amount{1, 1}, w.now)
		first.Model, first.Final, second.Attempt = []string{"z", "a", "m"}[i%3], false, 2
		if _, err := w.Settle(ctx, billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{first, second}}); err != nil {
			w.Error(err)
		}
	})
	CheckSums(w, w.Store, w.now)
}

func raceSettle(w *world) {
	k := w.key(tokens(1000).budget("bud_1"))
	for range 10 {
		h := w.hold(k, tokens(50))
		w.reserve(h)
		each(w.Context(), 16, func(ctx context.Context, i int) {
			var err error
			if i%4 == 3 {
				_, err = w.Sweep(ctx, w.now.Add(-time.Hour))
			} else {
				_, err = w.Settle(ctx, billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{w.row(k, h.ID, tokens(40), w.now)}})
			}
			if err != nil {
				w.Error(err)
			}
		})
	}
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{400, 0}})
	CheckSums(w, w.Store, w.now)
}

// raceSweep runs several sweeps while the holds are settled. Each hold ends once,
// one way or the other.
func raceSweep(w *world) {
	k := w.key(tokens(100_000).budget("bud_1"))
	const n = 64
	holds := make([]billing.Hold, n)
	for i := range holds {
		holds[i] = w.hold(k, tokens(50))
		w.reserve(holds[i])
	}
	var swept atomic.Int64
	each(w.Context(), n, func(ctx context.Context, i int) {
		if i%8 == 0 {
			n, err := w.Sweep(ctx, w.now.Add(time.Hour))
			if err != nil {
				w.Error(err)
			}
			swept.Add(int64(n))
			return
		}
		if _, err := w.Settle(ctx, billing.Settlement{
			HoldID:   holds[i].ID,
			Attempts: []billing.Spend{w.row(k, holds[i].ID, tokens(40), w.now)},
		}); err != nil {
			w.Error(err)
		}
	})
	last, err := w.Sweep(w.Context(), w.now.Add(time.Hour))
	w.must(err)
	interrupted := 0
	rows := w.events(k)
	for _, r := range rows {
		if r.Status == billing.StatusInterrupted {
			interrupted++
		}
	}
	if len(rows) != n || interrupted != int(swept.Load())+last {
		w.Errorf("%d rows of %d, %d interrupted, %d swept", len(rows), n, interrupted, int(swept.Load())+last)
	}
	CheckSums(w, w.Store, w.now)
}

// raceBudgets creates and changes budgets while their scopes spend. Each counter
// equals the sum of its rows, whenever it was created.
func raceBudgets(w *world) {
	k := w.key(tokens(1_000_000).budget("bud_1"))
	var mu sync.Mutex
	current := k
	each(w.Context(), 24, func(ctx context.Context, i int) {
		if i%4 == 0 {
			b := tokens(int64(1_000_000 + i)).budget([]string{"bud_2", "bud_3", "bud_4"}[i/4%3])
			b.Scope, b.ScopeID = billing.ScopeOrg, "org"
			b.Period = []billing.Period{billing.PeriodDay, billing.PeriodMonth, billing.PeriodYear}[i/4%3]
			if err := w.SetBudget(ctx, b, w.now); err != nil {
				w.Error(err)
			}
			fresh, err := w.KeyByHash(ctx, hashOf(string(k.ID)))
			if err != nil {
				w.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			current = &fresh
			return
		}
		for range 8 {
			mu.Lock()
			k := current
			mu.Unlock()
			h := w.hold(k, amount{10, 10})
			_, err := w.Reserve(ctx, h, w.now)
			if errors.Is(err, billing.ErrStaleKey) {
				continue
			}
			if err == nil {
				_, err = w.Settle(ctx, billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{w.row(k, h.ID, amount{7, 5}, w.now)}})
			}
			if err != nil {
				w.Error(err)
			}
		}
	})
	CheckSums(w, w.Store, w.now)
	w.use(w.reread(k), amount{1, 1}, w.now)
	CheckSums(w, w.Store, w.now)
}

// raceRevoke: once the revocation has returned, no hold is admitted.
func raceRevoke(w *world) {
	for range 5 {
		k := w.key(tokens(1_000_000).budget(""))
		var revoked atomic.Bool
		each(w.Context(), 16, func(ctx context.Context, i int) {
			if i == 8 {
				_, err := w.UpdateKey(ctx, k.ID, func(k *billing.Key) error {
					k.RevokedAt = w.now
					return nil
				})
				if err != nil {
					w.Error(err)
				}
				revoked.Store(true)
				return
			}
			for range 8 {
				late := revoked.Load()
				_, err := w.Reserve(ctx, w.hold(k, tokens(1)), w.now)
				if err == nil && late {
					w.Error("admitted after it was revoked")
				}
				if err != nil && !errors.Is(err, billing.ErrRevoked) {
					w.Error(err)
				}
			}
		})
	}
}
