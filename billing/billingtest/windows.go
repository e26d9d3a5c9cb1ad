package billingtest

import (
	"time"

	"tallyroute/billing"
)

func windowCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"Boundaries":              windowBoundaries,
		"Once":                    windowOnce,
		"PostedWhereItOccurred":   windowOccurred,
		"SettledAfterItsEnd":      windowSettledLate,
		"SweptAfterItsEnd":        windowSweptLate,
		"PeriodChanges":           windowPeriodChanges,
		"PeriodChangesOnItsFirst": windowPeriodChangesFirst,
		"ZoneChanges":             windowZoneChanges,
		"ClocksThatDisagree":      windowSkew,
		"EveryPeriodIsItsOwnSums": windowAllPeriods,
	}
}

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err) // s is a constant of this package
	}
	return t
}

// windowBoundaries uses up a budget at one instant and asks again at another.
func windowBoundaries(w *world) {
	tests := map[string]struct {
		period       billing.Period
		zone         string
		first, again string
		fresh        bool
	}{
		"the last instant of a day":  {billing.PeriodDay, "", "2026-03-14T00:00:00Z", "2026-03-14T23:59:59.999999Z", false},
		"the first of the next":      {billing.PeriodDay, "", "2026-03-14T23:59:59.999999Z", "2026-03-15T00:00:00Z", true},
		"a half-hour zone, same day": {billing.PeriodDay, "Asia/Kolkata", "2026-03-14T18:30:00Z", "2026-03-15T18:29:59.999999Z", false},
		"a half-hour zone, next day": {billing.PeriodDay, "Asia/Kolkata", "2026-03-14T18:29:59.999999Z", "2026-03-14T18:30:00Z", true},
		"23 hours end early":         {billing.PeriodDay, "America/New_York", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z", true},
		"23 hours do not end earlier": {
			billing.PeriodDay, "America/New_York", "2026-03-08T05:00:00Z",
			"2026-03-09T03:59:59.999999Z", false,
		},
		"25 hours last": {
			billing.PeriodDay, "America/New_York", "2026-11-01T04:00:00Z",
			"2026-11-02T04:59:59.999999Z", false,
		},
		"25 hours end":               {billing.PeriodDay, "America/New_York", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z", true},
		"Sunday is of the old week":  {billing.PeriodWeek, "", "2026-03-09T00:00:00Z", "2026-03-15T23:59:59.999999Z", false},
		"Monday is of the new week":  {billing.PeriodWeek, "", "2026-03-15T23:59:59.999999Z", "2026-03-16T00:00:00Z", true},
		"a month has its own length": {billing.PeriodMonth, "", "2026-02-28T23:59:59.999999Z", "2026-03-01T00:00:00Z", true},
		"a leap day is of its month": {billing.PeriodMonth, "", "2028-02-01T00:00:00Z", "2028-02-29T23:59:59.999999Z", false},
		"a month in Auckland": {
			billing.PeriodMonth, "Pacific/Auckland", "2026-03-31T10:59:59.999999Z",
			"2026-03-31T11:00:00Z", true,
		},
		"a quarter":                    {billing.PeriodQuarter, "", "2026-01-01T00:00:00Z", "2026-03-31T23:59:59.999999Z", false},
		"the next quarter":             {billing.PeriodQuarter, "", "2026-03-31T23:59:59.999999Z", "2026-04-01T00:00:00Z", true},
		"a year":                       {billing.PeriodYear, "", "2026-01-01T00:00:00Z", "2026-12-31T23:59:59.999999Z", false},
		"the next year":                {billing.PeriodYear, "", "2026-12-31T23:59:59.999999Z", "2027-01-01T00:00:00Z", true},
		"once is once":                 {billing.PeriodOnce, "", "2026-01-01T00:00:00Z", "2029-01-01T00:00:00Z", false},
		"a clock that was put back":    {billing.PeriodDay, "", "2026-03-14T00:00:00Z", "2026-03-13T23:59:59.999999Z", true},
		"the zone of the caller is no": {billing.PeriodDay, "", "2026-03-14T23:30:00-05:00", "2026-03-15T00:30:00Z", false},
	}
	for name, tt := range tests {
		b := tokens(10).budget(w.id("bud"))
		b.Period, b.Zone = tt.period, tt.zone
		k := w.key(b)
		w.use(k, tokens(10), at(tt.first))
		_, err := w.Reserve(w.Context(), w.holdAt(k, tokens(1), at(tt.again)), at(tt.again))
		if fresh := err == nil; fresh != tt.fresh {
			w.Errorf("%s: %v", name, err)
		}
	}
}

func windowOnce(w *world) {
	b := amount{100, 100}.budget("bud_1")
	b.Period = billing.PeriodOnce
	k := w.key(b)
	w.use(k, amount{10, 20}, w.now)
	w.use(k, amount{10, 20}, w.now.AddDate(-3, 0, 0))
	w.use(k, amount{10, 20}, w.now.AddDate(3, 0, 0))
	w.wantStanding(k, "bud_1", w.now.AddDate(1, 0, 0), standing{used: amount{30, 60}})
	h := w.hold(k, amount{70, 40})
	reserved := w.reserve(h)
	settled := w.settle(k, h, amount{70, 40})
	for _, balances := range [][]billing.Balance{reserved, settled} {
		if len(balances) != 1 || balances[0].Window != (billing.Window{}) {
			w.Errorf("balances %+v, want a window without ends", balances)
		}
	}
	_, err := w.Reserve(w.Context(), w.hold(k, tokens(1)), w.now)
	if got := w.refusal(err, "bud_1"); got.Balance.Window != (billing.Window{}) {
		w.Errorf("window %v", got.Balance.Window)
	}
}

// daily creates a key with a daily budget of 100 tokens.
func (w *world) daily() *billing.Key {
	w.Helper()
	b := tokens(100).budget("bud_1")
	b.Period = billing.PeriodDay
	return w.key(b)
}

// windowOccurred: rows count in the window in which they occurred, and a hold is
// returned to the window from which it was taken.
func windowOccurred(w *world) {
	k := w.daily()
	h := w.hold(k, tokens(60))
	w.reserve(h)
	yesterday := w.now.AddDate(0, 0, -1)
	_, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{w.row(k, h.ID, tokens(7), yesterday)}})
	w.must(err)
	w.wantStanding(k, "bud_1", w.now, standing{})
	w.wantStanding(k, "bud_1", yesterday, standing{used: amount{7, 0}})
	CheckSums(w, w.Store, w.now)
	CheckSums(w, w.Store, yesterday)
}

func windowSettledLate(w *world) {
	k := w.daily()
	before, after := at("2026-03-14T23:59:59.999999Z"), at("2026-03-15T00:00:00Z")
	h := w.holdAt(k, tokens(60), before)
	_, err := w.Reserve(w.Context(), h, before)
	w.must(err)
	w.use(k, tokens(100), after) // the old day's hold does not count in the new day
	w.wantStanding(k, "bud_1", before, standing{held: amount{60, 0}})
	w.settle(k, h, tokens(50))
	w.wantStanding(k, "bud_1", before, standing{used: amount{50, 0}})
	w.wantStanding(k, "bud_1", after, standing{used: amount{100, 0}})
	CheckSums(w, w.Store, before)
	CheckSums(w, w.Store, after)
}

func windowSweptLate(w *world) {
	k := w.daily()
	w.reserve(w.hold(k, tokens(60)))
	n, err := w.Sweep(w.Context(), w.now.AddDate(0, 0, 5))
	w.must(err)
	if n != 1 {
		w.Errorf("swept %d", n)
	}
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{60, 0}})
	w.wantStanding(k, "bud_1", w.now.AddDate(0, 0, 5), standing{})
	CheckSums(w, w.Store, w.now)
}

// windowPeriodChanges: usage is kept when the period of a budget changes, in windows of the
// new length.
func windowPeriodChanges(w *world) {
	k := w.daily()
	w.use(k, tokens(30), w.now.AddDate(0, 0, -1))
	w.use(k, tokens(20), w.now)
	flying := w.hold(k, tokens(5))
	w.reserve(flying)
	month := k.Budgets[0]
	month.Period = billing.PeriodMonth
	w.must(w.SetBudget(w.Context(), month, w.now))
	k = w.reread(k)
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{50, 0}})
	w.use(k, tokens(50), w.now)
	_, err := w.Reserve(w.Context(), w.hold(k, tokens(1)), w.now)
	w.wantRefused(err, "bud_1")
	w.settle(k, flying, tokens(5))
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{105, 0}})
	CheckSums(w, w.Store, w.now)
}

// windowPeriodChangesFirst: the counters of the first day of a month and of the month, which
// begin at the same instant, are not confused.
func windowPeriodChangesFirst(w *world) {
	k := w.daily()
	first, later := at("2026-03-01T10:00:00Z"), at("2026-03-20T10:00:00Z")
	w.use(k, tokens(30), first)
	w.use(k, tokens(25), later)
	flying := w.holdAt(k, tokens(10), first)
	_, err := w.Reserve(w.Context(), flying, first)
	w.must(err)
	for _, period := range []billing.Period{billing.PeriodMonth, billing.PeriodDay, billing.PeriodYear, billing.PeriodMonth} {
		b := k.Budgets[0]
		b.Period = period
		w.must(w.SetBudget(w.Context(), b, later))
		k = w.reread(k)
		used := map[billing.Period]int64{billing.PeriodDay: 25}[period]
		if used == 0 {
			used = 55
		}
		balances, err := w.Balances(w.Context(), k, later)
		w.must(err)
		if balances[0].UsedTokens != used {
			w.Errorf("as a %s: %+v, want %d used", period, balances[0], used)
		}
		h := w.holdAt(k, tokens(1), later)
		balances, err = w.Reserve(w.Context(), h, later)
		w.must(err)
		if balances[0].UsedTokens != used || balances[0].HeldTokens < 1 {
			w.Errorf("held as a %s: %+v, want %d used", period, balances[0], used)
		}
		w.must(w.Release(w.Context(), h.ID))
	}
	w.settle(k, flying, tokens(10))
	w.wantStanding(k, "bud_1", later, standing{used: amount{65, 0}})
	CheckSums(w, w.Store, first)
	CheckSums(w, w.Store, later)
}

func windowZoneChanges(w *world) {
	k := w.daily()
	w.use(k, tokens(30), at("2026-03-13T19:00:00Z")) // already the 14th in Kolkata
	w.use(k, tokens(20), w.now)
	b := k.Budgets[0]
	b.Zone = "Asia/Kolkata"
	w.must(w.SetBudget(w.Context(), b, w.now))
	k = w.reread(k)
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{50, 0}})
	w.use(k, tokens(50), w.now)
	CheckSums(w, w.Store, w.now)
}

// windowSkew: two replicas whose clocks differ by 90 seconds around midnight use
// two windows, and each window's limit is exact.
func windowSkew(w *world) {
	k := w.daily()
	slow, fast := at("2026-03-14T23:59:00Z"), at("2026-03-15T00:00:30Z")
	for i := range 20 {
		now := slow
		if i%2 == 1 {
			now = fast
		}
		w.use(k, tokens(10), now)
	}
	for _, now := range []time.Time{slow, fast} {
		_, err := w.Reserve(w.Context(), w.holdAt(k, tokens(1), now), now)
		w.wantRefused(err, "bud_1")
		CheckSums(w, w.Store, now)
	}
}

// windowAllPeriods spends throughout a year and compares each window with its rows.
func windowAllPeriods(w *world) {
	var budgets []billing.Budget
	for i, p := range []billing.Period{
		billing.PeriodDay, billing.PeriodWeek, billing.PeriodMonth, billing.PeriodQuarter,
		billing.PeriodYear, billing.PeriodOnce,
	} {
		b := amount{1_000_000, 1_000_000}.budget(w.id("bud"))
		b.Period, b.Zone = p, []string{"", "America/New_York", "Asia/Kolkata"}[i%3]
		budgets = append(budgets, b)
	}
	k := w.key(budgets...)
	start := at("2026-01-01T00:30:00Z")
	for i := range 80 {
		w.use(k, amount{int64(i), billing.Money(2 * i)}, start.Add(time.Duration(i)*109*time.Hour))
	}
	CheckSums(w, w.Store, start)
	keys, rows := readAll(w, w.Store)
	for i := range 80 {
		checkBalances(w, w.Store, keys, rows, start.Add(time.Duration(i)*109*time.Hour))
	}
}
