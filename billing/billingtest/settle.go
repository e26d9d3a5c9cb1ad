package billingtest

import (
	"math"
	"time"

	"tallyroute/billing"
)

func settleCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"TwiceIsOnce":             settleTwice,
		"ReplayAddsNothing":       settleReplay,
		"UnknownHold":             settleUnknown,
		"SeveralAttempts":         settleAttempts,
		"MoreThanHeld":            settleOverrun,
		"NothingUsed":             settleNothing,
		"Unpriced":                settleUnpriced,
		"Free":                    settleFree,
		"MaxInt64":                settleHuge,
		"AllOrNothing":            settleAllOrNothing,
		"RefusesWhatIsNoAttempt":  settleRefuses,
		"AttemptThatIsThere":      settleAttemptThere,
		"Corrections":             settleCorrections,
		"OwnerIsThatOfTheRequest": settleOwner,
	}
}

// settleAsWritten names the cases that look at individual meters or at reports.
var settleAsWritten = []string{
	"SeveralAttempts", "MoreThanHeld", "Unpriced", "Free", "MaxInt64", "AllOrNothing", "RefusesWhatIsNoAttempt", "Corrections",
}

func settleTwice(w *world) {
	k := w.key(tokens(100).budget("bud_1"))
	h := w.hold(k, tokens(60))
	w.reserve(h)
	w.settle(k, h, tokens(50))
	if again := w.settle(k, h, tokens(50)); len(again) != 0 {
		w.Errorf("balances %v", again)
	}
	w.must(w.Release(w.Context(), h.ID))
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{50, 0}})
	if rows := w.events(k); len(rows) != 1 {
		w.Errorf("rows %v", rows)
	}
	CheckSums(w, w.Store, w.now)
}

func settleReplay(w *world) {
	k := w.key(tokens(1000).budget("bud_1"))
	var done []billing.Settlement
	for range 10 {
		h := w.hold(k, tokens(10))
		w.reserve(h)
		done = append(done, billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{w.row(k, h.ID, tokens(9), w.now)}})
	}
	for range 10 {
		for _, s := range done {
			_, err := w.Settle(w.Context(), s)
			w.must(err)
		}
	}
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{90, 0}})
	CheckSums(w, w.Store, w.now)
}

func settleUnknown(w *world) {
	k := w.key(tokens(100).budget("bud_1"))
	if got := w.settle(k, w.hold(k, tokens(1)), tokens(1)); len(got) != 0 {
		w.Errorf("balances %v", got)
	}
	if rows := w.events(k); len(rows) != 0 {
		w.Errorf("rows %v", rows)
	}
}

func settleAttempts(w *world) {
	k := w.key(amount{100, 100}.budget("bud_1"))
	h := w.hold(k, amount{60, 60})
	w.reserve(h)
	first, second, third := w.row(k, h.ID, amount{0, 0}, w.now), w.row(k, h.ID, amount{5, 3}, w.now), w.row(k, h.ID, amount{20, 7}, w.now)
	first.Final, first.Status, first.ErrorKind = false, billing.StatusError, "timeout"
	second.Attempt, second.Final, second.Status, second.UsageSource, second.Provider = 2, false, billing.StatusUpstreamAborted,
		billing.Counted, "demo-b"
	third.Attempt, third.RouteReason, third.Provider = 3, billing.RouteFailover, "demo-c"
	_, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{first, second, third}})
	w.must(err)
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{25, 10}})
	rows := w.events(k)
	if len(rows) != 3 || rows[0].Attempt != 3 || rows[1].Attempt != 2 || rows[2].Attempt != 1 {
		w.Errorf("want three rows, the last attempt first: %v", rows)
	}
	found, err := w.Spend(w.Context(), billing.SpendQuery{GroupBy: []billing.Dimension{"provider"}, Month: "2026-03"})
	w.must(err)
	report := found.Rows
	var sum billing.SpendRow
	for _, r := range report {
		sum = addUp(sum, r)
	}
	if len(report) != 3 || sum.Requests != 1 || sum.Attempts != 3 || sum.Errors != 2 || sum.NotExact != 1 {
		w.Errorf("one request in three attempts is %+v", sum)
	}
	CheckSums(w, w.Store, w.now)
}

// settleOverrun: a budget exceeds its limit only if a provider reports more than it
// was allowed, and reports show the overrun.
func settleOverrun(w *world) {
	k := w.key(amount{100, 100}.budget("bud_1"))
	h := w.hold(k, amount{90, 90})
	w.reserve(h)
	row := w.row(k, h.ID, amount{150, 140}, w.now)
	row.OverrunTokens, row.OverrunMoney = 60, 50
	_, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{row}})
	w.must(err)
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{150, 140}})
	k = w.enabled(k)
	_, err = w.Reserve(w.Context(), w.hold(k, tokens(1)), w.now)
	w.wantRefused(err, "bud_1")
	found, err := w.Spend(w.Context(), billing.SpendQuery{GroupBy: []billing.Dimension{"key"}, Month: "2026-03", KeyID: k.ID})
	w.must(err)
	report := found.Rows
	if len(report) != 1 || report[0].Overrun != 60 || report[0].OverrunMoney != 50 {
		w.Errorf("report %+v", report)
	}
	CheckSums(w, w.Store, w.now)
}

func settleNothing(w *world) {
	k := w.key(amount{100, 100}.budget("bud_1"))
	h := w.hold(k, amount{90, 90})
	w.reserve(h)
	w.settle(k, h, amount{0, 0})
	w.wantStanding(k, "bud_1", w.now, standing{})
	if rows := w.events(k); len(rows) != 1 {
		w.Errorf("rows %v", rows)
	}
	CheckSums(w, w.Store, w.now)
}

// settleUnpriced: an unknown price is not a price of zero.
func settleUnpriced(w *world) {
	k := w.key(amount{100, 100}.budget("bud_1"))
	h := w.hold(k, amount{90, 0})
	w.reserve(h)
	row := w.row(k, h.ID, amount{40, 33}, w.now)
	row.Pricing, row.Price, row.Baseline = billing.Unpriced, billing.Price{}, 50
	_, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{row}})
	w.must(err)
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{40, 0}})
	rows := w.events(k)
	if len(rows) != 1 || rows[0].Pricing != billing.Unpriced || rows[0].Cost != (billing.Cost{}) || rows[0].Baseline != 0 {
		w.Errorf("rows %+v", rows)
	}
	found, err := w.Spend(w.Context(), billing.SpendQuery{GroupBy: []billing.Dimension{"model"}, Month: "2026-03"})
	w.must(err)
	report := found.Rows
	if len(report) != 1 || report[0].Unpriced != 1 || report[0].Cost != 0 || report[0].Savings != 0 {
		w.Errorf("report %+v", report)
	}
	CheckSums(w, w.Store, w.now)
}

func settleFree(w *world) {
	k := w.key(amount{100, 100}.budget("bud_1"))
	h := w.hold(k, amount{10, 0})
	w.reserve(h)
	row := w.row(k, h.ID, amount{10, 0}, w.now)
	row.Pricing, row.Price, row.Baseline = billing.Free, billing.Price{}, 8
	_, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{row}})
	w.must(err)
	found, err := w.Spend(w.Context(), billing.SpendQuery{GroupBy: []billing.Dimension{"team"}, Month: "2026-03"})
	w.must(err)
	report := found.Rows
	if len(report) != 1 || report[0].Unpriced != 0 || report[0].Savings != 8 {
		w.Errorf("report %+v", report)
	}
	CheckSums(w, w.Store, w.now)
}

// settleHuge: absurd usage is booked up to what the database can store. It uses up
// the budget, but does not stop the ledger.
func settleHuge(w *world) {
	k := w.key(amount{1_000_000, 1_000_000}.budget("bud_1"))
	for i := range 3 {
		h := w.holdAt(k, amount{1, 1}, w.now.AddDate(0, i, 0))
		_, err := w.Reserve(w.Context(), h, h.IfLost.OccurredAt)
		w.must(err)
		row := h.IfLost
		row.Tokens = billing.Tokens{
			Input: math.MaxInt64, CacheRead: math.MaxInt64, CacheWrite: math.MaxInt64, Output: math.MaxInt64,
			Reasoning: math.MaxInt64, CacheWrite1h: math.MaxInt64, AudioInput: math.MaxInt64, AudioOutput: math.MaxInt64,
		}
		row.OverrunTokens, row.OverrunMoney, row.Baseline = math.MaxInt64, math.MaxInt64, math.MaxInt64
		row.Cost = billing.Cost{
			Input: math.MaxInt64, CacheRead: math.MaxInt64, CacheWrite: math.MaxInt64, Output: math.MaxInt64,
			Fee: math.MaxInt64, Total: math.MaxInt64,
		}
		_, err = w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{row}})
		w.must(err)
		k = w.enabled(k)
		_, err = w.Reserve(w.Context(), w.holdAt(k, tokens(1), h.IfLost.OccurredAt), h.IfLost.OccurredAt)
		got := w.refusal(err, "bud_1")
		if got.Balance.UsedTokens < 1_000_000 || got.Balance.UsedMoney < 1_000_000 || got.Balance.HeldTokens != 0 {
			w.Errorf("balance %+v", got.Balance)
		}
	}
	once := amount{1_000_000, 1_000_000}.budget("bud_once")
	once.Scope, once.ScopeID, once.Period = billing.ScopeOrg, "org", billing.PeriodOnce
	w.must(w.SetBudget(w.Context(), once, w.now))
	_, err := w.Reserve(w.Context(), w.hold(w.reread(k), tokens(1)), w.now)
	w.wantRefused(err, "bud_1")
	balances, err := w.Balances(w.Context(), w.reread(k), w.now)
	w.must(err)
	for _, b := range balances {
		if b.UsedTokens < 1_000_000 || b.UsedMoney < 1_000_000 {
			w.Errorf("balance %+v", b)
		}
	}
	for _, r := range w.events(k) {
		if r.Tokens.Output < 1_000_000 || r.Cost.Total < 1_000_000 {
			w.Errorf("row %+v", r)
		}
	}
}

// settleAllOrNothing: a settlement that cannot be written leaves its hold as it was.
func settleAllOrNothing(w *world) {
	k := w.key(tokens(100).budget("bud_1"))
	h := w.hold(k, tokens(60))
	w.reserve(h)
	good := w.row(k, h.ID, tokens(10), w.now)
	for name, change := range map[string]func(s *billing.Spend){
		"the same attempt":    func(s *billing.Spend) { s.Attempt = 1 },
		"another request":     func(s *billing.Spend) { s.RequestID = "req_other" },
		"another time":        func(s *billing.Spend) { s.OccurredAt = w.now.Add(time.Second) },
		"a status of its own": func(s *billing.Spend) { s.Status = "great" },
		"meters that differ":  func(s *billing.Spend) { s.Cost.Total = 1 },
	} {
		bad := w.row(k, h.ID, tokens(10), w.now)
		bad.Attempt = 2
		change(&bad)
		if _, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{good, bad}}); err == nil {
			w.Errorf("%s is accepted", name)
		}
		w.wantStanding(k, "bud_1", w.now, standing{held: amount{60, 0}})
	}
	if rows := w.events(k); len(rows) != 0 {
		w.Errorf("rows %v", rows)
	}
	w.settle(k, h, tokens(10))
	CheckSums(w, w.Store, w.now)
}

func settleRefuses(w *world) {
	k := w.key(tokens(100).budget("bud_1"))
	h := w.hold(k, tokens(60))
	w.reserve(h)
	if _, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID}); err == nil {
		w.Error("a settlement without attempts is accepted")
	}
	for name, change := range map[string]func(s *billing.Spend){
		"negative tokens":  func(s *billing.Spend) { s.Tokens.Output = -1 },
		"negative cost":    func(s *billing.Spend) { s.Cost.Input, s.Cost.Total = -1, -1 },
		"no request":       func(s *billing.Spend) { s.RequestID = "" },
		"no time":          func(s *billing.Spend) { s.OccurredAt = time.Time{} },
		"unknown kind":     func(s *billing.Spend) { s.Kind = "gift" },
		"unknown source":   func(s *billing.Spend) { s.UsageSource = "guessed" },
		"unknown pricing":  func(s *billing.Spend) { s.Pricing = "cheap" },
		"correction, bare": func(s *billing.Spend) { s.Kind = billing.KindCredit },
		"id that is no id": func(s *billing.Spend) { s.EventID = "evt-1" },
	} {
		row := w.row(k, h.ID, tokens(1), w.now)
		change(&row)
		if _, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{row}}); err == nil {
			w.Errorf("%s: accepted", name)
		}
		lost := w.hold(k, tokens(1))
		change(&lost.IfLost)
		if _, err := w.Reserve(w.Context(), lost, w.now); err == nil {
			w.Errorf("%s: a hold that could never be swept is accepted", name)
		}
	}
	w.wantStanding(k, "bud_1", w.now, standing{held: amount{60, 0}})
}

// settleAttemptThere: an attempt that is in the ledger can't be settled again with another hold.
func settleAttemptThere(w *world) {
	k := w.key(tokens(100).budget("bud_1"))
	first, second := w.hold(k, tokens(10)), w.hold(k, tokens(20))
	w.reserve(first)
	w.reserve(second)
	w.settle(k, first, tokens(10))
	_, err := w.Settle(w.Context(), billing.Settlement{HoldID: second.ID, Attempts: []billing.Spend{w.row(k, first.ID, tokens(5), w.now)}})
	w.wantErr(err, billing.ErrDuplicate)
	w.wantStanding(k, "bud_1", w.now, standing{amount{10, 0}, amount{20, 0}})
}

func settleCorrections(w *world) {
	k := w.key(amount{100, 100}.budget("bud_1"))
	w.use(k, amount{30, 40}, w.now)
	h := w.hold(k, amount{0, 0})
	w.reserve(h)
	row := w.row(k, h.ID, amount{0, 0}, w.now)
	row.Kind, row.Reason, row.Actor, row.AdjustsPeriod = billing.KindCredit, "the provider gave some back", "ann", "2026-02-01"
	row.AdjustsEvent = w.events(k)[0].EventID
	row.Cost, row.Baseline = billing.Cost{Total: -15}, -15
	row.Status, row.UsageSource = billing.StatusDisputed, billing.Bounded // as for a row without an attempt
	_, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{row}})
	w.must(err)
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{30, 25}})
	got := w.events(k)
	if len(got) != 2 || got[0].Kind != billing.KindCredit || got[0].Cost.Total != -15 || got[0].AdjustsPeriod != "2026-02-01" ||
		got[0].AdjustsEvent != row.AdjustsEvent {
		w.Errorf("rows %+v", got)
	}
	CheckSums(w, w.Store, w.now)
}

// settleOwner: if a key moves to another project during a request, the request
// still counts for the old one.
func settleOwner(w *world) {
	k := w.key()
	old := w.budget(billing.ScopeTeam, k.TeamID, tokens(100))
	k = w.reread(k)
	h := w.hold(k, tokens(10))
	w.reserve(h)
	lake := w.project("data", "lake")
	fresh := w.budget(billing.ScopeTeam, lake.TeamID, tokens(100))
	moved := w.change(k, func(k *billing.Key) { k.ProjectID = lake.ID })
	w.settle(k, h, tokens(9))
	w.wantStanding(k, old, w.now, standing{used: amount{9, 0}})
	w.wantStanding(moved, fresh, w.now, standing{})
	CheckSums(w, w.Store, w.now)
}
