package billingtest

import (
	"sync/atomic"
	"testing"
	"time"

	"tallyroute/billing"
)

// repricing reprices everything in a time span to one price.
func repricing(p billing.Price) billing.Repricing {
	return billing.Repricing{
		From: noon().Add(-time.Hour), To: noon().Add(time.Hour), Reason: "the list was wrong", Actor: "ann", Now: april(),
		Price: func(billing.Spend) (billing.Price, bool) { return p, p.ID != "" },
	}
}

func (w *world) reprice(r billing.Repricing) billing.Repriced {
	w.Helper()
	sum, err := w.Reprice(w.Context(), r)
	w.must(err)
	return sum
}

func bookReprice(w *world) {
	k := w.key(amount{1_000_000, 1_000_000}.budget("bud_1"))
	w.use(k, amount{100, 40}, w.now)
	w.use(k, amount{100, 40}, w.now.Add(2*time.Hour)) // outside
	p := billing.Price{ID: "price_2", Provider: "demo-a", Model: "small", Input: 200_000, Output: 400_000, Request: 3, Source: "contract"}
	want := billing.Repriced{Rows: 1, Adjusted: 1, Difference: 10 + 20 + 3 - 40}
	dry := repricing(p)
	dry.DryRun = true
	if got := w.reprice(dry); got != want {
		w.Errorf("dry run %+v, want %+v", got, want)
	}
	if len(w.events(k)) != 2 {
		w.Error("a dry run posts")
	}
	if got := w.reprice(repricing(p)); got != want {
		w.Errorf("got %+v, want %+v", got, want)
	}
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{200, 73}})
	if got := w.reprice(repricing(p)); got != (billing.Repriced{Rows: 1}) {
		w.Errorf("again %+v", got)
	}
	var adjustment, usage billing.Spend
	for _, r := range w.events(k) {
		switch {
		case r.Kind == billing.KindAdjustment:
			adjustment = r
		case r.OccurredAt.Equal(w.now.Truncate(time.Microsecond)):
			usage = r
		}
	}
	if adjustment.AdjustsEvent != usage.EventID || adjustment.Reason != "the list was wrong" || adjustment.Actor != "ann" ||
		adjustment.Price.ID != "price_2" ||
		adjustment.Cost != (billing.Cost{Input: 10 - 40, Output: 20, Fee: 3, Total: -7}) || adjustment.Baseline != -7 ||
		usage.Cost.Total != 40 || adjustment.Tokens.Total() != 0 {
		w.Errorf("the adjustment is %+v\nof %+v", adjustment, usage)
	}
	p.ID, p.Output = "price_3", 800_000
	if got := w.reprice(repricing(p)); got.Adjusted != 1 || got.Difference != 20 {
		w.Errorf("a third price: %+v", got)
	}
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{200, 93}})
	for name, r := range map[string]billing.Repricing{
		"another provider": {Provider: "demo-b"}, "another model": {Model: "large"},
	} {
		all := repricing(p)
		all.Provider, all.Model = r.Provider, r.Model
		if got := w.reprice(all); got.Rows != 0 {
			w.Errorf("%s: %+v", name, got)
		}
	}
	bad := repricing(p)
	bad.Reason = ""
	if _, err := w.Reprice(w.Context(), bad); err == nil {
		w.Error("repriced without a reason")
	}
	w.wantProved()
	CheckSums(w, w.Store, w.now)
}

// bookRepriceCached: what caching saved follows the price, also of rows that had none.
func bookRepriceCached(w *world) {
	k := w.key(amount{1_000_000, 1_000_000}.budget("bud_1"))
	old := billing.Price{ID: "price_1", Input: 3_000_000, CacheRead: 300_000, CacheWrite: 3_750_000, Output: 15_000_000}
	for _, pricing := range []billing.Pricing{billing.Priced, billing.Unpriced} {
		h := w.hold(k, tokens(2000))
		w.reserve(h)
		row := w.row(k, h.ID, amount{20, 0}, w.now)
		row.Tokens.CacheRead, row.Tokens.CacheWrite = 1000, 200
		row.Price, row.Cost = old, old.Cost(row.Tokens)
		row.Pricing, row.Baseline = pricing, row.Cost.Total
		if pricing == billing.Unpriced {
			row.Price, row.Cost, row.Baseline = billing.Price{}, billing.Cost{}, 0
		}
		_, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{row}})
		w.must(err)
	}
	want := func(saved billing.Money) {
		w.Helper()
		for _, by := range []billing.Dimension{"team", "status"} {
			q := billing.SpendQuery{GroupBy: []billing.Dimension{by}, Month: "2026-03"}
			found, err := w.Spend(w.Context(), q)
			if w.must(err); found.Total.CacheSavings != saved || found.Rows[0].CacheSavings != saved {
				w.Errorf("by %s caching saved %d, want %d", by, found.Total.CacheSavings, saved)
			}
			w.report(q) // breakdowns say the same
		}
		w.wantProved()
		CheckSums(w, w.Store, w.now)
	}
	want(1200*3 - 300 - 750)
	list := old
	list.ID, list.Input, list.CacheRead = "price_2", 2_000_000, 600_000
	w.reprice(repricing(list))
	want(2 * (1200*2 - 600 - 750))
	list.ID, list.CacheRead = "price_3", 2_000_000 // reading costs as much as input
	w.reprice(repricing(list))
	want(2 * (1200*2 - 2000 - 750))
}

// RepriceInAnotherZone checks that adjustments are booked on the day of the row that they
// adjust, also where reports have changed their zone since. Both stores use one empty database;
// before reports in UTC, after in another zone.
func RepriceInAnotherZone(t *testing.T, before, after billing.Store) {
	w := &world{T: t, Store: before, now: noon(), ids: new(atomic.Int64)}
	k := w.key()
	for hour := range 24 {
		w.use(k, amount{100, 40}, w.now.Truncate(24*time.Hour).Add(time.Duration(hour)*time.Hour))
	}
	w.Store = after
	r := repricing(billing.Price{ID: "price_2", Input: 1_000_000, Output: 1_000_000})
	r.From, r.To = w.now.Add(-24*time.Hour), w.now.Add(24*time.Hour)
	if got := w.reprice(r); got.Adjusted != 24 {
		w.Errorf("%d rows of 24 are adjusted", got.Adjusted)
	}
	days := make(map[string]string)
	for _, row := range w.events(k) {
		if row.Kind == billing.KindUsage {
			days[row.EventID] = row.ReportDay
		}
	}
	for _, row := range w.events(k) {
		if row.Kind == billing.KindAdjustment && row.ReportDay != days[row.AdjustsEvent] {
			w.Errorf("the adjustment of %s is booked on %s, its row on %s", row.OccurredAt, row.ReportDay, days[row.AdjustsEvent])
		}
	}
	w.wantSame("by day", w.report(billing.SpendQuery{GroupBy: []billing.Dimension{"day"}}), map[string]billing.Money{"2026-03-14": 2400})
	w.wantProved()
	CheckSums(w, w.Store, w.now)
}

func bookRepriceUnpriced(w *world) {
	k := w.key(amount{1_000_000, 1_000_000}.budget("bud_1"))
	h := w.hold(k, tokens(100))
	w.reserve(h)
	failed, row := w.row(k, h.ID, amount{0, 0}, w.now), w.row(k, h.ID, amount{100, 0}, w.now)
	failed.Final, failed.Status, row.Attempt = false, billing.StatusError, 2
	for _, r := range []*billing.Spend{&failed, &row} {
		r.Pricing, r.Price, r.Cost, r.Baseline = billing.Unpriced, billing.Price{}, billing.Cost{}, 0
	}
	_, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{failed, row}})
	w.must(err)
	if got := w.reprice(repricing(billing.Price{})); got != (billing.Repriced{Rows: 2, Unpriced: 2}) {
		w.Errorf("without a price: %+v", got)
	}
	p := billing.Price{ID: "price_2", Input: 1_000_000, Output: 1_000_000, Request: 5}
	if got := w.reprice(repricing(p)); got != (billing.Repriced{Rows: 2, Adjusted: 2, Priced: 2, Difference: 105}) {
		w.Errorf("got %+v", got)
	}
	if got := w.reprice(repricing(p)); got != (billing.Repriced{Rows: 2}) {
		w.Errorf("again %+v", got)
	}
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{100, 105}})
	if p := w.close("2026-03", april()); p.Unpriced != 0 || p.Rows != 4 || p.Money != 105 {
		w.Errorf("closed as %+v", p)
	}
	found, err := w.Spend(w.Context(), billing.SpendQuery{GroupBy: []billing.Dimension{"team"}, Month: "2026-03"})
	w.must(err)
	report := found.Rows
	if len(report) != 1 || report[0].Cost != 105 || report[0].Savings != 0 || report[0].Requests != 1 {
		w.Errorf("report %+v", report)
	}
	w.wantProved()
}
