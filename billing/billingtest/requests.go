package billingtest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"tallyroute/billing"
)

func requestCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"RequestsAreLimitedTogetherWithTokensAndMoney": limitedRequests,
		"RequestsCountOnceTheyWereSent":                countedRequests,
		"RequestsOfAnyScopeAreExactUnderRaces":         racedRequests,
		"RequestsOfTheLedgerCountForANewLimit":         earlierRequests,
		"RaisesEndByThemselves":                        raises,
		"ABudgetThatAlertsRefusesNothing":              alerts,
		"RequestsPerMinute":                            requestsPerMinute,
		"RequestsAtOnceCountWhileTheyAreUnderWay":      concurrentRequests,
		"RequestsAtOnceOfADeadReplicaComeBack":         concurrentOfTheDead,
		"EachNameOfAPartHasTheLimitForItself":          eachName,
		"AHoldIsTakenFromFurtherBudgets":               widerHold,
		"NamesOfAPartFollowItsBudget":                  partChanges,
		"TenThousandNamesHaveALimitForThemselves":      manyNames,
	}
}

// ofRequests returns the budget with a limit on requests added.
func ofRequests(n int64, b billing.Budget) billing.Budget {
	b.Requests = &n
	return b
}

// onlyRequests returns a budget that limits only requests, per day.
func onlyRequests(n int64, id string) billing.Budget {
	return ofRequests(n, billing.Budget{ID: id, Scope: billing.ScopeKey, Period: billing.PeriodDay})
}

func limitedRequests(w *world) {
	k := w.key(onlyRequests(2, "bud_1"))
	first, second := w.hold(k, tokens(10)), w.hold(k, tokens(10))
	w.reserve(first)
	if b := w.reserve(second); b[0].HeldRequests < 2 || b[0].UsedRequests != 0 {
		w.Errorf("two under way stand at %+v", b[0])
	}
	_, err := w.Reserve(w.Context(), w.hold(k, tokens(10)), w.now)
	if q := w.refusal(err, "bud_1"); !q.LacksRequests() || q.AskedRequests != 1 {
		w.Errorf("refused for %+v", q)
	}
	w.must(w.Release(w.Context(), first.ID))
	third := w.hold(k, tokens(10))
	w.reserve(third)
	w.settle(k, second, tokens(10))
	w.settle(k, third, tokens(10))
	_, err = w.Reserve(w.Context(), w.hold(k, tokens(10)), w.now)
	w.wantRefused(err, "bud_1")
	CheckSums(w, w.Store, w.now)
}

// countedRequests: a request counts once, however many attempts it has or holds for, and even
// if all of them failed.
func countedRequests(w *world) {
	k := w.key(ofRequests(3, amount{10_000, 10_000}.budget("bud_1")))
	h := w.hold(k, amount{10, 10})
	w.reserve(h)
	failed := w.row(k, h.ID, amount{0, 0}, w.now)
	failed.Final, failed.Status, failed.ErrorKind = false, billing.StatusError, "overloaded"
	next := w.row(k, h.ID, amount{10, 10}, w.now)
	next.Attempt = 2
	w.must(w.Retry(w.Context(), h.ID, billing.Amount{Tokens: 5, Money: 5}, []billing.Spend{failed, next}))
	balances, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{failed, next}})
	w.must(err)
	if b := balances[0]; b.UsedRequests != 1 || b.HeldRequests != 0 {
		w.Errorf("after two attempts of a request it stands at %+v", b)
	}
	h = w.hold(k, amount{10, 10})
	w.reserve(h)
	failed = w.row(k, h.ID, amount{0, 0}, w.now)
	failed.Status, failed.ErrorKind = billing.StatusError, "overloaded"
	_, err = w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{failed}})
	w.must(err)
	w.use(k, amount{1, 1}, w.now)
	_, err = w.Reserve(w.Context(), w.hold(k, amount{1, 1}), w.now)
	if q := w.refusal(err, "bud_1"); !q.LacksRequests() {
		w.Errorf("refused for %+v", q)
	}
	CheckSums(w, w.Store, w.now)
}

func racedRequests(w *world) {
	for _, scope := range []billing.Scope{billing.ScopeKey, billing.ScopeProject, billing.ScopeTeam, billing.ScopeOrg} {
		k := w.keyIn(w.project("team-"+string(scope), "p"))
		b := onlyRequests(25, w.id("bud"))
		b.Scope, b.ScopeID = scope, map[billing.Scope]string{
			billing.ScopeKey: string(k.ID), billing.ScopeProject: k.ProjectID, billing.ScopeTeam: k.TeamID, billing.ScopeOrg: "org",
		}[scope]
		if scope == billing.ScopeOrg { // what the other keys have used counts here, too
			n := *b.Requests + 75
			b.Requests = &n
		}
		w.must(w.SetBudget(w.Context(), b, w.now))
		k = w.reread(k)
		var admitted atomic.Int64
		each(w.Context(), 16, func(_ context.Context, _ int) {
			for range 4 {
				h := w.hold(k, tokens(1))
				_, err := w.Reserve(w.Context(), h, w.now)
				if errors.As(err, new(*billing.QuotaError)) {
					continue
				}
				if err != nil {
					w.Error(err)
					return
				}
				admitted.Add(1)
				if _, err := w.Settle(w.Context(), billing.Settlement{
					HoldID: h.ID, Attempts: []billing.Spend{w.row(k, h.ID, tokens(1), w.now)},
				}); err != nil {
					w.Error(err)
				}
			}
		})
		if n := admitted.Load(); n != 25 {
			w.Errorf("%s: %d requests were admitted of 25", scope, n)
		}
	}
	CheckSums(w, w.Store, w.now)
}

// earlierRequests: a limit counts the requests made before it was set.
func earlierRequests(w *world) {
	k := w.key(tokens(1_000).budget("bud_1"))
	for range 3 {
		w.use(k, tokens(1), w.now)
	}
	for _, b := range []billing.Budget{onlyRequests(4, "bud_2"), ofRequests(4, tokens(1_000).budget("bud_1"))} {
		b.ScopeID = string(k.ID)
		w.must(w.SetBudget(w.Context(), b, w.now))
	}
	k = w.reread(k)
	w.use(k, tokens(1), w.now)
	_, err := w.Reserve(w.Context(), w.hold(k, tokens(1)), w.now)
	if q := w.refusal(err, "bud_1"); !q.LacksRequests() || q.Balance.UsedRequests != 4 {
		w.Errorf("refused for %+v", q)
	}
	w.must(w.ResetBudget(w.Context(), "bud_1", w.now))
	w.must(w.ResetBudget(w.Context(), "bud_2", w.now))
	w.use(w.reread(k), tokens(1), w.now)
	r, err := w.CheckIntegrity(w.Context(), billing.IntegrityOptions{Now: w.now})
	w.must(err)
	if r.Breaches > 0 {
		w.Errorf("after a reset: %s", r.First)
	}
}

// raises: a raise applies between two instants, by the database's clock.
func raises(w *world) {
	w.now = time.Now().UTC().Truncate(time.Microsecond)
	k := w.key(ofRequests(1, amount{100, -1}.budget("bud_1")))
	raise := func(by billing.Amount, from, until time.Duration) error {
		return w.RaiseBudget(w.Context(), billing.Raise{
			BudgetID: "bud_1", By: by, From: w.now.Add(from), Until: w.now.Add(until),
			Actor: "ann", Reason: "a launch", At: w.now.Add(-48 * time.Hour),
		})
	}
	w.must(raise(billing.Amount{Requests: 5}, -24*time.Hour, -time.Hour)) // has ended
	w.must(raise(billing.Amount{Requests: 7}, time.Hour, 2*time.Hour))    // has yet to begin
	if k = w.reread(k); *k.Budgets[0].Requests != 1 {
		w.Errorf("the limit is %d although no raise holds now", *k.Budgets[0].Requests)
	}
	raised := func() *billing.Raised {
		w.Helper()
		balances, err := w.Balances(w.Context(), k, w.now)
		w.must(err)
		return balances[0].Raised
	}
	if r := raised(); r != nil {
		w.Errorf("raised by %+v although no raise holds now", r)
	}
	w.must(raise(billing.Amount{Requests: 2, Tokens: 11}, -time.Hour, time.Hour))
	if k = w.reread(k); *k.Budgets[0].Requests != 3 || *k.Budgets[0].Tokens != 111 {
		w.Errorf("the raised limits are %d requests and %d tokens", *k.Budgets[0].Requests, *k.Budgets[0].Tokens)
	}
	want := billing.Raised{By: billing.Amount{Requests: 2, Tokens: 11}, Until: w.now.Add(time.Hour)}
	if r := raised(); r == nil || r.By != want.By || !r.Until.Truncate(time.Millisecond).Equal(want.Until.Truncate(time.Millisecond)) {
		w.Errorf("raised by %+v, want %+v", r, want)
	}
	for range 3 {
		w.use(k, tokens(1), w.now)
	}
	_, err := w.Reserve(w.Context(), w.hold(k, tokens(1)), w.now)
	if q := w.refusal(err, "bud_1"); !q.LacksRequests() {
		w.Errorf("refused for %+v", q)
	}
	for range 2 { // a change of the key does not write the raise into its budget
		k = w.change(k, func(k *billing.Key) { k.Name += "x" })
	}
	if *k.Budgets[0].Requests != 3 || *k.Budgets[0].Tokens != 111 {
		w.Errorf("after a change the raised limits are %d requests and %d tokens", *k.Budgets[0].Requests, *k.Budgets[0].Tokens)
	}
	all, err := w.ListBudgets(w.Context(), billing.BudgetFilter{})
	w.must(err)
	if *all[0].Requests != 1 || *all[0].Tokens != 100 {
		w.Errorf("a raise has changed the budget itself to %d requests and %d tokens", *all[0].Requests, *all[0].Tokens)
	}
	var fault *billing.FieldError
	for _, err := range []error{
		raise(billing.Amount{}, 0, time.Hour), raise(billing.Amount{Money: 1}, 0, time.Hour),
		raise(billing.Amount{Requests: -1}, 0, time.Hour),
		raise(billing.Amount{Requests: 1}, time.Hour, time.Hour),
	} {
		if !errors.As(err, &fault) {
			w.Errorf("got %v, want a fault", err)
		}
	}
	w.wantNotFound(w.RaiseBudget(w.Context(), billing.Raise{BudgetID: "bud_2"}), "budget")
}

func alerts(w *world) {
	b := ofRequests(1, amount{10, 10}.budget("bud_1"))
	b.Action = billing.ActionAlert
	k := w.key(b)
	for range 3 {
		w.use(k, amount{20, 20}, w.now)
	}
	CheckSums(w, w.Store, w.now)
}

// requestsPerMinute: windows are minutes of the clock, and each begins at zero.
func requestsPerMinute(w *world) {
	b := onlyRequests(2, "bud_1")
	b.Period = billing.PeriodMinute
	k := w.key(b)
	minute := w.now.Truncate(time.Minute)
	for i := range 3 {
		at := minute.Add(time.Duration(i) * time.Minute)
		w.use(k, tokens(1), at)
		w.use(k, tokens(1), at.Add(59*time.Second))
		_, err := w.Reserve(w.Context(), w.holdAt(k, tokens(1), at.Add(time.Minute-time.Millisecond)), at)
		w.wantRefused(err, "bud_1")
	}
	CheckSums(w, w.Store, minute)
}

// concurrentRequests: only requests in flight count; one that has ended leaves nothing behind.
func concurrentRequests(w *world) {
	b := onlyRequests(2, "bud_1")
	b.Period = billing.PeriodConcurrent
	k := w.key(b, tokens(1_000).budget("bud_2"))
	for range 3 {
		first, second := w.hold(k, tokens(10)), w.hold(k, tokens(10))
		w.reserve(first)
		w.reserve(second)
		_, err := w.Reserve(w.Context(), w.hold(k, tokens(10)), w.now)
		if q := w.refusal(err, "bud_1"); !q.LacksRequests() || q.Balance.HeldRequests != 2 || q.Balance.UsedRequests != 0 {
			w.Errorf("refused for %+v", q)
		}
		w.must(w.Release(w.Context(), first.ID))
		w.settle(k, second, tokens(25)) // more than was held
	}
	balances, err := w.Balances(w.Context(), k, w.now)
	w.must(err)
	if b := balances[0]; b.Used() != (billing.Amount{}) || b.HeldRequests != 0 || !b.Window.Concurrent() {
		w.Errorf("with nothing under way it stands at %+v", b)
	}
	CheckSums(w, w.Store, w.now)
	r, err := w.CheckIntegrity(w.Context(), billing.IntegrityOptions{Now: w.now})
	w.must(err)
	if r.Breaches > 0 {
		w.Errorf("a law is broken: %s", r.First)
	}
}

// concurrentOfTheDead: once a replica's lease has expired, the concurrency slots that it had are
// free again; what it had leased of other windows is not.
func concurrentOfTheDead(w *world) {
	b := onlyRequests(2, "bud_1")
	b.Period = billing.PeriodConcurrent
	k := w.key(b, onlyRequests(3, "bud_2"))
	lines, err := k.Lines(w.now)
	w.must(err)
	ask := func(r billing.Replica, line int) bool {
		_, ok, err := w.Grant(w.Context(), r, []billing.Want{{HoldLine: lines[line], Need: billing.Amount{Requests: 2}}})
		w.must(err)
		return ok
	}
	dead := billing.Replica{ID: w.id("replica"), Epoch: "epoch", TTL: 300 * time.Millisecond}
	_, err = w.Renew(w.Context(), dead, billing.Joining)
	w.must(err)
	other := w.replica()
	if !ask(dead, 0) || !ask(dead, 1) || ask(other, 0) {
		w.Fatal("the first replica has not all that may be under way")
	}
	for refused := true; refused; refused = !ask(other, 0) { // until the dead replica's lease expires
		_, err := w.Renew(w.Context(), other, billing.Staying)
		w.must(err)
	}
	if ask(other, 1) {
		w.Error("what a dead replica may have used of a day was granted to another")
	}
	w.must(w.Return(w.Context(), dead.ID, ""))
	if ask(w.replica(), 0) {
		w.Error("what came back came back twice")
	}
	w.must(w.Return(w.Context(), other.ID, ""))
	CheckSums(w, w.Store, w.now)
}
