package billingtest

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"tallyroute/billing"
)

func randomCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"AnyOrderOfOperations":   randomOperations,
		"A_CancelledAtAnyMoment": randomCancels,
	}
}

// life is a store under random use, with the holds that are known to be open in it.
type life struct {
	*world
	rnd  *rand.Rand
	keys []billing.KeyID
	open []billing.Hold
}

// randomOperations performs random operations and, every so often, compares all
// balances with the rows and the open holds.
func randomOperations(w *world) {
	l := &life{world: w, rnd: rand.New(rand.NewPCG(8, 8))} //nolint:gosec // the same order every time
	for i := range 5 {
		k := w.keyIn(w.project([]string{"web", "data"}[i%2], []string{"shop", "lake", "blog"}[i%3]),
			ofRequests(30, amount{500, 600}.budget(w.id("bud"))))
		l.keys = append(l.keys, k.ID)
	}
	for i := range 500 {
		l.now = l.now.Add(time.Duration(l.rnd.Int64N(int64(3 * time.Hour))))
		l.step()
		if i%25 == 0 {
			l.check()
		}
	}
	for _, h := range l.open {
		w.must(w.Release(w.Context(), h.ID))
	}
	CheckSums(w, w.Store, l.now)
}

func (l *life) step() {
	k := l.reread(&billing.Key{ID: l.keys[l.rnd.IntN(len(l.keys))]})
	switch n := l.rnd.IntN(20); {
	case n < 8:
		l.try(k)
	case n < 14 && len(l.open) > 0:
		h := l.pick()
		k := billing.Key{
			ID: h.KeyID, ProjectID: h.IfLost.Owner.ProjectID, TeamID: h.IfLost.Owner.TeamID, CostCenter: "x",
			Environment: "prod",
		}
		l.settle(&k, h, amount{l.rnd.Int64N(h.Tokens + 10), billing.Money(l.rnd.Int64N(60))})
	case n < 15 && len(l.open) > 0:
		l.must(l.Release(l.Context(), l.pick().ID))
	case n < 16:
		l.sweep()
	case n < 18:
		l.someBudget(k)
	case n < 19:
		l.change(k, func(k *billing.Key) {
			k.Budgets = append(k.Budgets[:l.rnd.IntN(len(k.Budgets)+1)], amount{l.rnd.Int64N(900), -1}.budget(""))
		})
	default:
		p := l.project([]string{"web", "data"}[l.rnd.IntN(2)], []string{"shop", "lake", "blog"}[l.rnd.IntN(3)])
		l.change(k, func(k *billing.Key) { k.ProjectID = p.ID })
	}
}

func (l *life) try(k *billing.Key) {
	h := l.holdAt(k, amount{l.rnd.Int64N(60), billing.Money(l.rnd.Int64N(60))}, l.now)
	_, err := l.Reserve(l.Context(), h, l.now)
	switch {
	case err == nil:
		l.open = append(l.open, h)
	case !errors.As(err, new(*billing.QuotaError)):
		l.Fatal(err)
	}
}

// pick removes a random hold from the open ones and returns it.
func (l *life) pick() billing.Hold {
	i := l.rnd.IntN(len(l.open))
	h := l.open[i]
	l.open = slices.Delete(l.open, i, i+1)
	return h
}

func (l *life) sweep() {
	if _, inMemory := inner(l.Store).Database.(Leased); inMemory {
		return // its holds live and die with the process
	}
	n, err := l.Sweep(l.Context(), l.now)
	l.must(err)
	before := len(l.open)
	l.open = slices.DeleteFunc(l.open, func(h billing.Hold) bool { return h.ExpiresAt.Before(l.now) })
	if swept := before - len(l.open); n != swept {
		l.Errorf("swept %d holds, want %d", n, swept)
	}
}

func (l *life) someBudget(k *billing.Key) {
	b := amount{l.rnd.Int64N(3000), billing.Money(l.rnd.Int64N(3000))}.budget([]string{"bud_a", "bud_b", "bud_c"}[l.rnd.IntN(3)])
	b.Scope, b.ScopeID = billing.ScopeOrg, "org"
	if l.rnd.IntN(2) == 0 {
		b.ID, b.Scope, b.ScopeID = "bud_"+k.TeamID, billing.ScopeTeam, k.TeamID
	}
	b.Period = map[string]billing.Period{"bud_a": billing.PeriodDay, "bud_b": billing.PeriodOnce}[b.ID]
	if b.Period == "" {
		b.Period = billing.PeriodWeek
	}
	l.must(l.SetBudget(l.Context(), b, l.now))
}

func (l *life) check() {
	l.Helper()
	_, rows := readAll(l, l.Store)
	for _, id := range l.keys {
		balances, err := l.Balances(l.Context(), l.reread(&billing.Key{ID: id}), l.now)
		l.must(err)
		for _, b := range balances {
			if got, want := standingOf(b), (standing{sumOf(b, rows), l.held(b)}); got != want {
				l.Fatalf("%s %s in %v stands at %+v, want %+v", b.Budget.Scope, b.Budget.ID, b.Window, got, want)
			}
		}
	}
}

// held returns how much the open holds take from a budget in a window.
func (l *life) held(b billing.Balance) (sum amount) {
	for _, h := range l.open {
		for _, line := range h.Lines {
			if line.Budget.ID == b.Budget.ID && line.Window == b.Window {
				sum.tokens += h.Tokens
				sum.money += h.Money
			}
		}
	}
	return sum
}

// randomCancels: clients disconnect while their holds are taken and settled. What
// was acknowledged is in the ledger once, and nothing is held at the end.
func randomCancels(w *world) {
	k := w.key(tokens(1_000_000).budget("bud_1"))
	var acknowledged atomic.Int64
	each(w.Context(), 32, func(ctx context.Context, i int) {
		for n := range 6 {
			hasty, cancel := context.WithTimeout(ctx, time.Duration((i*7+n*13)%40)*100*time.Microsecond)
			h := w.hold(k, tokens(10))
			_, err := w.Reserve(hasty, h, w.now)
			s := billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{w.row(k, h.ID, tokens(7), w.now)}}
			if err == nil {
				acknowledged.Add(1)
				_, err = w.Settle(hasty, s)
			}
			cancel()
			if err != nil && !errors.Is(err, billing.ErrUnavailable) {
				w.Error(err)
			}
			if i%2 == 0 { // retry with a context that lasts; the others leave it to the sweeper
				if _, err := w.Settle(ctx, s); err != nil {
					w.Error(err)
				}
			}
		}
	})
	if _, err := w.Sweep(w.Context(), w.now.Add(time.Hour)); err != nil {
		w.Error(err)
	}
	if rows := len(w.events(k)); rows < int(acknowledged.Load()) || rows > 32*6 {
		w.Errorf("%d rows for %d acknowledged holds of %d", rows, acknowledged.Load(), 32*6)
	}
	CheckSums(w, w.Store, w.now)
}
