package billingtest

import (
	"errors"
	"math"
	"time"

	"tallyroute/billing"
)

func holdCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"ToTheToken":            holdExact,
		"ToTheNanoDollar":       holdExactMoney,
		"AllOrNone":             holdAllOrNone,
		"RefusalSaysWhy":        holdRefusal,
		"Headroom":              holdHeadroom,
		"ZeroMeansNothing":      holdZero,
		"OnlyOnce":              holdOnce,
		"NoBudgets":             holdWithoutBudgets,
		"RevokedMeanwhile":      holdRevoked,
		"UnknownKey":            holdUnknownKey,
		"Huge":                  holdHuge,
		"Negative":              holdNegative,
		"Release":               holdRelease,
		"BalancesCreateNothing": holdBalancesReadOnly,
		"Grows":                 holdGrows,
		"GrowsInAllOrNone":      holdGrowsInAll,
		"GrowsForAll":           holdGrowsForAll,
		"GrownIsSweptWhole":     holdGrownSwept,
		"Sweep":                 holdSweep,
		"SweepKeepsOthers":      holdSweepKeepsOthers,
	}
}

// holdsAsWritten hold more than the largest limit.
var holdsAsWritten = []string{"Huge"}

func holdExact(w *world) {
	k := w.key(tokens(100).budget("bud_1"))
	first, second := w.hold(k, tokens(60)), w.hold(k, tokens(40))
	got := w.reserve(first)
	if len(got) != 1 || standingOf(got[0]) != (standing{held: amount{60, 0}}) {
		w.Errorf("balances %+v, want them with the hold", got)
	}
	w.wantSame("budget", got[0].Budget, k.Budgets[0])
	w.wantSame("window", got[0].Window, first.Lines[0].Window)
	_, err := w.Reserve(w.Context(), w.hold(k, tokens(41)), w.now)
	w.wantRefused(err, "bud_1")
	w.reserve(second)
	_, err = w.Reserve(w.Context(), w.hold(k, tokens(1)), w.now)
	w.wantRefused(err, "bud_1")

	got = w.settle(k, first, tokens(50))
	if len(got) != 1 || standingOf(got[0]) != (standing{used: amount{50, 0}, held: amount{40, 0}}) {
		w.Errorf("balances after settling %+v", got)
	}
	w.must(w.Release(w.Context(), second.ID))
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{50, 0}})
	_, err = w.Reserve(w.Context(), w.hold(k, tokens(51)), w.now)
	w.wantRefused(err, "bud_1")
	w.use(k, tokens(50), w.now)
	CheckSums(w, w.Store, w.now)
}

func holdExactMoney(w *world) {
	k := w.key(amount{-1, 1_000_000_001}.budget("bud_1"))
	_, err := w.Reserve(w.Context(), w.hold(k, amount{1, 1_000_000_002}), w.now)
	w.wantRefused(err, "bud_1")
	h := w.hold(k, amount{1, 1_000_000_001})
	w.reserve(h)
	w.wantStanding(k, "bud_1", w.now, standing{held: amount{1, 1_000_000_001}})
	w.settle(k, h, amount{1, 999_999_999})
	_, err = w.Reserve(w.Context(), w.hold(k, amount{0, 3}), w.now)
	w.wantRefused(err, "bud_1")
	w.use(k, amount{1_000_000, 2}, w.now)
	CheckSums(w, w.Store, w.now)
}

// manyBudgets gives a key a budget at each scope; only the team's is small.
func (w *world) manyBudgets() *billing.Key {
	w.Helper()
	k := w.key(amount{100, 1000}.budget("bud_1"))
	for id, scope := range map[string]billing.Budget{
		"bud_2": {Scope: billing.ScopeProject, ScopeID: k.ProjectID},
		"bud_3": {Scope: billing.ScopeTeam, ScopeID: k.TeamID},
		"bud_4": {Scope: billing.ScopeOrg, ScopeID: "org"},
	} {
		b := amount{100, 1000}.budget(id)
		if id == "bud_3" {
			b = amount{50, 400}.budget(id)
		}
		b.Scope, b.ScopeID = scope.Scope, scope.ScopeID
		w.must(w.SetBudget(w.Context(), b, w.now))
	}
	return w.reread(k)
}

// plenty raises every budget of a key far beyond what a case uses.
func (w *world) plenty(k *billing.Key) *billing.Key {
	w.Helper()
	for _, b := range k.Budgets {
		*b.Tokens, *b.Money = 1_000_000, 1_000_000
		w.must(w.SetBudget(w.Context(), b, w.now))
	}
	return w.reread(k)
}

func holdAllOrNone(w *world) {
	k := w.manyBudgets()
	for _, a := range []amount{{51, 0}, {0, 401}, {51, 401}} {
		_, err := w.Reserve(w.Context(), w.hold(k, a), w.now)
		w.wantRefused(err, "bud_3")
	}
	for _, b := range k.Budgets {
		w.wantStanding(k, b.ID, w.now, standing{})
	}
	if balances := w.reserve(w.hold(k, amount{50, 400})); len(balances) != 4 {
		w.Errorf("balances %v", balances)
	}
	for _, b := range k.Budgets {
		w.wantStanding(k, b.ID, w.now, standing{held: amount{50, 400}})
	}
	_, err := w.Reserve(w.Context(), w.hold(k, amount{51, 0}), w.now)
	if got := w.refusal(err, "bud_1"); len(got.All) != 4 {
		w.Errorf("balances %v", got.All)
	}
}

func holdRefusal(w *world) {
	k := w.manyBudgets()
	w.use(k, amount{20, 30}, w.now)
	// Reading waits for what is on its way to the database. A refusal meanwhile
	// may show it twice: in what the database answers, and in what is still to
	// be posted.
	w.wantStanding(k, "bud_3", w.now, standing{used: amount{20, 30}})
	w.reserve(w.hold(k, amount{5, 6}))
	h := w.hold(k, amount{26, 7})
	_, err := w.Reserve(w.Context(), h, w.now)
	got := w.refusal(err, "bud_3")
	if got.AskedTokens != 26 || got.AskedMoney != 7 || standingOf(got.Balance) != (standing{amount{20, 30}, amount{5, 6}}) {
		w.Errorf("got %+v", got)
	}
	w.wantSame("budget", got.Balance.Budget, k.Budgets[2])
	w.wantSame("window", got.Balance.Window, h.Lines[2].Window)
	if len(got.All) != 4 {
		w.Fatalf("balances %v", got.All)
	}
	for i, b := range got.All {
		if b.Budget.ID != k.Budgets[i].ID || standingOf(b) != standingOf(got.Balance) {
			w.Errorf("balance %d: %+v", i, b)
		}
	}
}

// holdHeadroom: what must remain free is checked but not taken.
func holdHeadroom(w *world) {
	k := w.key(amount{100, 1000}.budget("bud_1"))
	h := w.hold(k, amount{40, 400})
	h.HeadroomTokens = 61
	_, err := w.Reserve(w.Context(), h, w.now)
	if got := w.refusal(err, "bud_1"); got.AskedTokens != 101 || got.AskedMoney != 400 {
		w.Errorf("asked %d tokens and %d, want the headroom in it", got.AskedTokens, got.AskedMoney)
	}
	h.HeadroomTokens, h.HeadroomMoney = 60, 601
	_, err = w.Reserve(w.Context(), h, w.now)
	w.wantRefused(err, "bud_1")
	h.HeadroomMoney = 600
	w.reserve(h)
	w.wantStanding(k, "bud_1", w.now, standing{held: amount{40, 400}})
}

func holdZero(w *world) {
	k := w.key(tokens(0).budget("bud_1"))
	_, err := w.Reserve(w.Context(), w.hold(k, tokens(1)), w.now)
	w.wantRefused(err, "bud_1")
	broke := w.key(amount{-1, 0}.budget("bud_2"))
	_, err = w.Reserve(w.Context(), w.hold(broke, amount{1, 1}), w.now)
	w.wantRefused(err, "bud_2")
	w.use(broke, amount{1_000, 0}, w.now) // free is free
}

func holdOnce(w *world) {
	k := w.key(tokens(100).budget("bud_1"))
	h := w.hold(k, tokens(10))
	w.reserve(h)
	_, err := w.Reserve(w.Context(), h, w.now)
	w.wantErr(err, billing.ErrDuplicate)
	w.wantStanding(k, "bud_1", w.now, standing{held: amount{10, 0}})
}

func holdWithoutBudgets(w *world) {
	k := w.key()
	h := w.hold(k, amount{10, 20})
	if got := w.reserve(h); len(got) != 0 {
		w.Errorf("balances %v", got)
	}
	if got := w.settle(k, h, amount{10, 20}); len(got) != 0 {
		w.Errorf("balances %v", got)
	}
	if rows := w.events(k); len(rows) != 1 {
		w.Errorf("rows %v", rows)
	}
	CheckSums(w, w.Store, w.now)
}

// holdRevoked changes a key between reading it and taking the hold.
func holdRevoked(w *world) {
	tests := map[string]struct {
		change func(w *world, k *billing.Key)
		want   error
	}{
		"renamed":             {func(_ *world, k *billing.Key) { k.Name = "other" }, billing.ErrStaleKey},
		"revoked":             {func(w *world, k *billing.Key) { k.RevokedAt = w.now.Add(-time.Hour) }, billing.ErrRevoked},
		"revoked and expired": {func(w *world, k *billing.Key) { k.RevokedAt, k.ExpiresAt = w.now, w.now }, billing.ErrRevoked},
		"expired now":         {func(w *world, k *billing.Key) { k.ExpiresAt = w.now }, billing.ErrExpired},
		"expires later":       {func(w *world, k *billing.Key) { k.ExpiresAt = w.now.Add(time.Microsecond) }, billing.ErrStaleKey},
	}
	for name, tt := range tests {
		read := w.key(tokens(100).budget(""))
		changed := w.change(read, func(k *billing.Key) { tt.change(w, k) })
		_, err := w.Reserve(w.Context(), w.hold(read, tokens(1)), w.now)
		if !errors.Is(err, tt.want) {
			w.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
		_, err = w.Reserve(w.Context(), w.hold(changed, tokens(1)), w.now)
		if fresh := !errors.Is(tt.want, billing.ErrStaleKey); (err != nil) != fresh || (fresh && !errors.Is(err, tt.want)) {
			w.Errorf("%s, read again: got %v", name, err)
		}
	}
}

func holdUnknownKey(w *world) {
	k := w.key()
	h := w.hold(k, tokens(1))
	h.KeyID = "key_none"
	_, err := w.Reserve(w.Context(), h, w.now)
	w.wantNotFound(err, "key")
}

// holdHuge: no sum overflows into something that fits.
func holdHuge(w *world) {
	k := w.key(amount{100, 100}.budget("bud_1"))
	for _, h := range []billing.Hold{
		{Tokens: math.MaxInt64},
		{Money: math.MaxInt64},
		{Tokens: 1, HeadroomTokens: math.MaxInt64},
		{Tokens: 1, HeadroomMoney: math.MaxInt64},
		{Tokens: math.MaxInt64, Money: math.MaxInt64, HeadroomTokens: math.MaxInt64, HeadroomMoney: math.MaxInt64},
	} {
		full := w.hold(k, tokens(1))
		full.Tokens, full.Money, full.HeadroomTokens, full.HeadroomMoney = h.Tokens, h.Money, h.HeadroomTokens, h.HeadroomMoney
		_, err := w.Reserve(w.Context(), full, w.now)
		w.wantRefused(err, "bud_1")
	}
	w.wantStanding(k, "bud_1", w.now, standing{})

	// What is not limited may be huge. It is held as far as a database can.
	for id, limits := range map[string]struct{ limit, held amount }{
		"bud_2": {tokens(10), amount{1, math.MaxInt64}},
		"bud_3": {amount{-1, 10}, amount{math.MaxInt64, 1}},
	} {
		free := w.key(limits.limit.budget(id))
		var holds []billing.Hold
		for range 3 {
			h := w.hold(free, limits.held)
			w.reserve(h)
			holds = append(holds, h)
		}
		for _, h := range holds {
			w.must(w.Release(w.Context(), h.ID))
		}
		w.wantStanding(free, id, w.now, standing{})
	}
}

// holdNegative: nobody can create room with a negative hold.
func holdNegative(w *world) {
	k := w.key(amount{100, 100}.budget("bud_1"))
	for _, a := range []billing.Hold{{Tokens: -1}, {Money: -1}, {HeadroomTokens: -1}, {HeadroomMoney: -1}} {
		h := w.hold(k, tokens(1))
		h.Tokens, h.Money, h.HeadroomTokens, h.HeadroomMoney = a.Tokens, a.Money, a.HeadroomTokens, a.HeadroomMoney
		if _, err := w.Reserve(w.Context(), h, w.now); err == nil {
			w.Errorf("a hold of %d, %d, %d, %d is accepted", a.Tokens, a.Money, a.HeadroomTokens, a.HeadroomMoney)
		}
	}
	w.wantStanding(k, "bud_1", w.now, standing{})
}

func holdRelease(w *world) {
	k := w.key(tokens(100).budget("bud_1"))
	h := w.hold(k, tokens(60))
	w.reserve(h)
	for range 2 {
		w.must(w.Release(w.Context(), h.ID))
		w.wantStanding(k, "bud_1", w.now, standing{})
	}
	w.must(w.Release(w.Context(), "req_none"))
	if got := w.settle(k, h, tokens(60)); len(got) != 0 {
		w.Errorf("balances of a hold that is gone: %v", got)
	}
	w.wantStanding(k, "bud_1", w.now, standing{})
	if rows := w.events(k); len(rows) != 0 {
		w.Errorf("a hold that was given back left rows: %v", rows)
	}
	w.reserve(h) // a hold that is gone may be taken again
}

func holdBalancesReadOnly(w *world) {
	k := w.manyBudgets()
	w.use(k, amount{3, 4}, w.now)
	next := w.now.AddDate(0, 1, 0)
	for range 2 {
		w.wantStanding(k, "bud_1", next, standing{})
		w.wantStanding(k, "bud_1", w.now, standing{used: amount{3, 4}})
	}
	balances, err := w.Balances(w.Context(), k, next)
	w.must(err)
	for i, b := range balances {
		window, err := k.Budgets[i].Window(next)
		w.must(err)
		w.wantSame("budget", b.Budget, k.Budgets[i])
		w.wantSame("window", b.Window, window)
	}
}

func holdSweep(w *world) {
	k := w.key(amount{100, 100}.budget("bud_1"))
	lost, kept := w.hold(k, amount{60, 50}), w.hold(k, amount{10, 10})
	lost.ExpiresAt = w.now.Add(time.Minute)
	kept.ExpiresAt = lost.ExpiresAt.Add(time.Microsecond)
	w.reserve(lost)
	w.reserve(kept)
	sweep := func(at time.Time, want int) {
		w.Helper()
		n, err := w.Sweep(w.Context(), at)
		w.must(err)
		if n != want {
			w.Errorf("swept %d, want %d", n, want)
		}
	}
	sweep(lost.ExpiresAt, 0)
	sweep(kept.ExpiresAt, 1)
	sweep(kept.ExpiresAt, 0)
	w.wantStanding(k, "bud_1", w.now, standing{amount{60, 50}, amount{10, 10}})
	rows := w.events(k)
	if len(rows) != 1 || rows[0].Status != billing.StatusInterrupted || rows[0].UsageSource != billing.Bounded ||
		rows[0].RequestID != lost.ID || !rows[0].Final {
		w.Errorf("rows %+v", rows)
	}

	// The process was only slow: what it reports now has no effect.
	if got := w.settle(k, lost, amount{1, 1}); len(got) != 0 {
		w.Errorf("balances %v", got)
	}
	w.settle(k, kept, amount{10, 10})
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{70, 60}})
	CheckSums(w, w.Store, w.now)
}

// holdSweepKeepsOthers: a row that can't be written doesn't prevent the others from being
// swept, and nothing of its own hold is lost.
func holdSweepKeepsOthers(w *world) {
	k := w.key(tokens(100).budget("bud_1"))
	taken := w.hold(k, tokens(1))
	w.reserve(taken)
	w.settle(k, taken, tokens(1))
	bad := w.hold(k, tokens(7))
	bad.IfLost.RequestID = taken.ID // an attempt that is already there
	w.reserve(bad)
	for range 3 {
		w.reserve(w.hold(k, tokens(10)))
	}
	n, err := w.Sweep(w.Context(), w.now.Add(time.Hour))
	if n != 3 || err == nil {
		w.Errorf("swept %d, %v; want 3 and an error for the other", n, err)
	}
	w.wantStanding(k, "bud_1", w.now, standing{amount{31, 0}, amount{7, 0}})
}
