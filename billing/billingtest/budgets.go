package billingtest

import (
	"time"

	"tallyroute/billing"
)

func budgetCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"NewOneStartsWithWhatWasSpent": budgetSeeded,
		"NewOneSeesOnlyItsScope":       budgetSeedScopes,
		"NewOneWhileUnderWay":          budgetMadeInFlight,
		"ChangeOfLimitKeepsUsed":       budgetLimitChanges,
		"LowerThanUsed":                budgetLowered,
		"KeyBudgetsByID":               budgetsOfKeyByID,
		"RemovedWhileUnderWay":         budgetRemovedInFlight,
		"BackAgain":                    budgetBackAgain,
		"StaleKeyIsRefused":            budgetStale,
		"TwoKeysShareOne":              budgetShared,
	}
}

func budgetSeeded(w *world) {
	k := w.key()
	w.use(k, amount{10, 7}, w.now.AddDate(0, 0, -3))
	w.use(k, amount{5, 3}, w.now)
	w.use(k, amount{100, 100}, w.now.AddDate(0, -1, 0)) // last month does not count
	for _, scope := range []struct {
		scope billing.Scope
		id    string
	}{{billing.ScopeKey, string(k.ID)}, {billing.ScopeProject, k.ProjectID}, {billing.ScopeTeam, k.TeamID}, {billing.ScopeOrg, "org"}} {
		id := w.budget(scope.scope, scope.id, amount{20, 20})
		k = w.reread(k)
		w.wantStanding(k, id, w.now, standing{used: amount{15, 10}})
	}
	_, err := w.Reserve(w.Context(), w.hold(k, tokens(6)), w.now)
	w.wantRefused(err, k.Budgets[0].ID)
	w.use(k, tokens(5), w.now)
	CheckSums(w, w.Store, w.now)
	CheckSums(w, w.Store, w.now.AddDate(0, -1, 0))
}

func budgetSeedScopes(w *world) {
	k := w.key()
	sibling, cousin, stranger := w.key(), w.keyIn(w.project("web", "blog")), w.keyIn(w.project("data", "lake"))
	for i, key := range []*billing.Key{k, sibling, cousin, stranger} {
		w.use(key, amount{[]int64{1, 10, 100, 1000}[i], 0}, w.now)
	}
	for id, want := range map[string]int64{
		w.budget(billing.ScopeKey, string(k.ID), tokens(9999)):    1,
		w.budget(billing.ScopeProject, k.ProjectID, tokens(9999)): 11,
		w.budget(billing.ScopeTeam, k.TeamID, tokens(9999)):       111,
		w.budget(billing.ScopeOrg, "org", tokens(9999)):           1111,
	} {
		w.wantStanding(w.reread(k), id, w.now, standing{used: amount{want, 0}})
	}
	k = w.reread(k)
	w.use(k, tokens(2), w.now)
	CheckSums(w, w.Store, w.now)
}

// budgetMadeInFlight: a budget that is created while a request is in flight wasn't asked,
// but is charged.
func budgetMadeInFlight(w *world) {
	k := w.key(tokens(100).budget("bud_1"))
	h := w.hold(k, tokens(60))
	w.reserve(h)
	team := w.budget(billing.ScopeTeam, k.TeamID, tokens(100))
	fresh := w.reread(k)
	w.use(fresh, tokens(10), w.now) // makes the counter of the new budget
	w.wantStanding(fresh, team, w.now, standing{used: amount{10, 0}})
	w.settle(k, h, tokens(50))
	w.wantStanding(fresh, team, w.now, standing{used: amount{60, 0}})
	w.wantStanding(fresh, "bud_1", w.now, standing{used: amount{60, 0}})
	CheckSums(w, w.Store, w.now)
}

func budgetLimitChanges(w *world) {
	k := w.key(tokens(100).budget("bud_1"))
	w.use(k, tokens(40), w.now)
	h := w.hold(k, tokens(60))
	w.reserve(h)
	raised := tokens(200).budget("bud_1")
	raised.ScopeID = string(k.ID)
	w.must(w.SetBudget(w.Context(), raised, w.now))
	k = w.reread(k)
	w.wantStanding(k, "bud_1", w.now, standing{amount{40, 0}, amount{60, 0}})
	_, err := w.Reserve(w.Context(), w.hold(k, tokens(101)), w.now)
	w.wantRefused(err, "bud_1")
	w.use(k, tokens(100), w.now)
	w.settle(k, h, tokens(60))
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{200, 0}})
	CheckSums(w, w.Store, w.now)
}

func budgetLowered(w *world) {
	k := w.key(tokens(100).budget("bud_1"))
	w.use(k, tokens(40), w.now)
	h := w.hold(k, tokens(30))
	w.reserve(h)
	k = w.change(k, func(k *billing.Key) { *k.Budgets[0].Tokens = 10 })
	_, err := w.Reserve(w.Context(), w.hold(k, tokens(1)), w.now)
	got := w.refusal(err, "bud_1")
	if free, _ := got.Balance.FreeTokens(); free != 0 {
		w.Errorf("free %d", free)
	}
	w.settle(k, h, tokens(30))
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{70, 0}})
}

func budgetsOfKeyByID(w *world) {
	k := w.key(tokens(100).budget("bud_1"), amount{-1, 100}.budget("bud_2"))
	w.use(k, amount{40, 30}, w.now)
	k = w.change(k, func(k *billing.Key) {
		k.Budgets = []billing.Budget{tokens(50).budget("bud_1"), tokens(70).budget("bud_3")}
	})
	if len(k.Budgets) != 2 {
		w.Fatalf("budgets %v", k.Budgets)
	}
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{40, 30}})
	w.wantStanding(k, "bud_3", w.now, standing{used: amount{40, 30}})
	_, err := w.Reserve(w.Context(), w.hold(k, tokens(11)), w.now)
	w.wantRefused(err, "bud_1")
	w.use(k, tokens(10), w.now)
	CheckSums(w, w.Store, w.now)
}

func budgetRemovedInFlight(w *world) {
	k := w.key(tokens(100).budget("bud_1"))
	h := w.hold(k, tokens(60))
	w.reserve(h)
	gone := w.change(k, func(k *billing.Key) { k.Budgets = nil })
	w.settle(k, h, tokens(50))
	w.use(gone, tokens(1000), w.now)
	CheckSums(w, w.Store, w.now)
}

// budgetBackAgain: a budget that was removed and comes back has counted everything.
func budgetBackAgain(w *world) {
	k := w.key(tokens(100).budget("bud_1"))
	h := w.hold(k, tokens(20))
	w.reserve(h)
	w.use(k, tokens(10), w.now)
	gone := w.change(k, func(k *billing.Key) { k.Budgets = nil })
	w.use(gone, tokens(30), w.now)
	w.settle(k, h, tokens(15))
	back := w.change(k, func(k *billing.Key) { k.Budgets = []billing.Budget{tokens(100).budget("bud_1")} })
	w.wantStanding(back, "bud_1", w.now, standing{used: amount{55, 0}})
	w.use(back, tokens(45), w.now)
	CheckSums(w, w.Store, w.now)
}

func budgetStale(w *world) {
	k := w.key(tokens(100).budget("bud_1"))
	w.budget(billing.ScopeOrg, "org", tokens(1))
	_, err := w.Reserve(w.Context(), w.hold(k, tokens(50)), w.now)
	w.wantErr(err, billing.ErrStaleKey)
	w.wantStanding(k, "bud_1", w.now, standing{})
}

func budgetShared(w *world) {
	a, b := w.key(), w.key()
	id := w.budget(billing.ScopeProject, a.ProjectID, tokens(100))
	a, b = w.reread(a), w.reread(b)
	h := w.hold(a, tokens(60))
	w.reserve(h)
	_, err := w.Reserve(w.Context(), w.hold(b, tokens(41)), w.now)
	w.wantRefused(err, id)
	w.use(b, tokens(40), w.now.Add(time.Second))
	w.settle(a, h, tokens(60))
	w.wantStanding(b, id, w.now, standing{used: amount{100, 0}})
	CheckSums(w, w.Store, w.now)
}
