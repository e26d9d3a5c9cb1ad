package billingtest

import (
	"context"
	"errors"
	"strings"
	"time"

	"tallyroute/billing"
)

func bookCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"CloseRefuses":             bookCloseRefuses,
		"CloseInAnotherZone":       bookCloseZone,
		"CloseAndReopen":           bookCloseReopen,
		"LateRow":                  bookLateRow,
		"CloseWhileRowsArrive":     bookCloseRace,
		"LateSweep":                bookLateSweep,
		"Reprice":                  bookReprice,
		"RepriceCached":            bookRepriceCached,
		"RepriceUnpriced":          bookRepriceUnpriced,
		"RepriceClosedMonth":       bookRepriceClosed,
		"RepriceManyAtOnce":        bookRepriceMany,
		"Correct":                  bookCorrect,
		"ArchiveRefuses":           bookArchiveRefuses,
		"ArchiveKeepsTotals":       bookArchive,
		"ArchiveKnowsMovedRows":    bookArchiveMoved,
		"IntegrityOfNothing":       func(w *world) { w.wantProved() },
		"IntegrityOncePerInterval": integrityOnce,
		"Upkeep":                   func(w *world) { w.must(w.Upkeep(w.Context())) },
	}
}

// wantProved checks that every law holds.
func (w *world) wantProved() {
	w.Helper()
	r := w.integrity(billing.IntegrityOptions{Now: w.now, Digests: true})
	for _, l := range r.Laws {
		if l.Breaches > 0 {
			w.Errorf("law %s (%s) is broken %d times: %s", l.Name, l.Says, l.Breaches, l.First)
		}
	}
	if len(r.Laws) < 10 || r.Breaches != 0 {
		w.Errorf("%d laws, %d breaches", len(r.Laws), r.Breaches)
	}
}

func (w *world) integrity(o billing.IntegrityOptions) billing.IntegrityReport {
	w.Helper()
	r, err := w.CheckIntegrity(w.Context(), o)
	w.must(err)
	return r
}

func april() time.Time { return time.Date(2026, 4, 2, 9, 0, 0, 0, time.UTC) }

func closing(m billing.Month, at time.Time) billing.PeriodChange {
	return billing.PeriodChange{Month: m, Actor: "ann", Now: at}
}

func (w *world) close(m billing.Month, at time.Time) billing.PeriodStanding {
	w.Helper()
	p, err := w.ClosePeriod(w.Context(), closing(m, at))
	w.must(err)
	return p
}

// archive archives a month without writing a file, and drops its rows.
func (w *world) archive(m billing.Month, at time.Time) {
	w.Helper()
	w.must(w.ArchiveMonth(w.Context(), w.file(m, at)))
}

func (w *world) file(m billing.Month, at time.Time) billing.ArchivedMonth {
	w.Helper()
	d := billing.NewMonthDigest()
	w.must(w.MonthRows(w.Context(), m, func(row billing.Spend) error {
		_, err := d.Add(row)
		return err
	}))
	return billing.ArchivedMonth{Month: m, Rows: d.Rows, Money: d.Money, SHA256: d.SHA256(), Actor: "ann", Now: at}
}

func bookCloseRefuses(w *world) {
	k := w.key()
	w.use(k, amount{10, 5}, w.now)
	for name, c := range map[string]billing.PeriodChange{
		"no month":   {Month: "2026-3", Actor: "ann", Now: april()},
		"no actor":   {Month: "2026-03", Now: april()},
		"this month": {Month: "2026-03", Actor: "ann", Now: w.now},
		"too early":  {Month: "2026-03", Actor: "ann", Now: time.Date(2026, 3, 31, 23, 59, 59, 0, time.UTC)},
	} {
		if _, err := w.ClosePeriod(w.Context(), c); err == nil {
			w.Errorf("%s: closed", name)
		}
	}
	h := w.hold(k, tokens(1))
	w.reserve(h)
	row := w.row(k, h.ID, amount{7, 0}, w.now)
	row.Pricing, row.Price, row.Cost, row.Baseline = billing.Unpriced, billing.Price{}, billing.Cost{}, 0
	_, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{row}})
	w.must(err)
	_, err = w.ClosePeriod(w.Context(), closing("2026-03", april()))
	w.wantConflict(err)
	if err == nil || !strings.Contains(err.Error(), "1 attempts without a price") {
		w.Errorf("got %v", err)
	}
	c := closing("2026-03", april())
	c.AcceptUnpriced = true
	p, err := w.ClosePeriod(w.Context(), c)
	w.must(err)
	if p.Unpriced != 1 || p.Rows != 2 || p.Money != 5 || len(p.SHA256) != 64 || p.Status != billing.PeriodClosed || p.ClosedBy != "ann" {
		w.Errorf("closed as %+v", p)
	}
	_, err = w.ClosePeriod(w.Context(), c)
	w.wantConflict(err)
	w.wantProved()
}

func bookCloseZone(w *world) {
	in := w.in("America/New_York")
	_, err := in.ClosePeriod(w.Context(), closing("2026-03", time.Date(2026, 4, 1, 3, 59, 0, 0, time.UTC)))
	in.wantConflict(err)
	p := in.close("2026-03", time.Date(2026, 4, 1, 4, 0, 0, 0, time.UTC))
	if p.Rows != 0 || p.Money != 0 || p.SHA256 == "" {
		w.Errorf("an empty month is closed as %+v", p)
	}
}

func bookCloseReopen(w *world) {
	k := w.key()
	w.use(k, amount{10, 5}, w.now)
	w.use(k, amount{20, 8}, april())
	first := w.close("2026-03", april())
	list, err := w.ListPeriods(w.Context())
	w.must(err)
	if len(list) != 2 || list[0].Month != "2026-04" || list[0].Status != billing.PeriodOpen || list[0].Money != 8 || list[0].Rows != 1 ||
		list[1] != first {
		w.Errorf("periods %+v", list)
	}
	reopen := closing("2026-03", april())
	_, err = w.ReopenPeriod(w.Context(), reopen)
	if err == nil {
		w.Error("reopened without a reason")
	}
	reopen.Reason = "the bill was wrong"
	p, err := w.ReopenPeriod(w.Context(), reopen)
	w.must(err)
	if p.Status != billing.PeriodOpen || p.SHA256 != "" {
		w.Errorf("reopened as %+v", p)
	}
	_, err = w.ReopenPeriod(w.Context(), reopen)
	w.wantConflict(err)
	w.use(k, amount{1, 1}, w.now)
	second := w.close("2026-03", april())
	if second.Rows != 2 || second.Money != 6 || second.SHA256 == first.SHA256 {
		w.Errorf("closed again as %+v", second)
	}
	w.wantProved()
}

// bookLateRow: a row that occurred in a closed month is booked in the next open month,
// once, and counts in the windows of when it occurred.
func bookLateRow(w *world) {
	k := w.key(amount{1000, 1000}.budget("bud_1"))
	w.use(k, amount{10, 5}, w.now)
	late := w.hold(k, amount{50, 50})
	w.reserve(late)
	other := w.hold(k, amount{50, 50})
	w.reserve(other)
	w.close("2026-03", april())
	w.settle(k, late, amount{20, 7})
	if again := w.settle(k, late, amount{20, 7}); len(again) != 0 {
		w.Errorf("settled twice: %v", again)
	}
	_, err := w.Settle(w.Context(), billing.Settlement{
		HoldID:   other.ID,
		Attempts: []billing.Spend{w.row(k, late.ID, amount{20, 7}, w.now)},
	})
	w.wantErr(err, billing.ErrDuplicate)
	w.must(w.Release(w.Context(), other.ID))
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{30, 12}})
	for _, r := range w.events(k) {
		if r.RequestID == late.ID && (r.ReportDay != "2026-04-01" || r.AdjustsPeriod != "2026-03-01" ||
			!r.OccurredAt.Equal(w.now.Truncate(time.Microsecond))) {
			w.Errorf("the late row is booked as %+v", r)
		}
	}
	w.wantProved()
	// A counter that is created afterwards counts the row when it occurred.
	year, once := w.wide(billing.PeriodYear), w.wide(billing.PeriodOnce)
	month := w.wide(billing.PeriodMonth)
	k = w.reread(k)
	for _, b := range []string{year, once, month} {
		w.wantStanding(k, b, w.now, standing{used: amount{30, 12}})
	}
	w.wantStanding(k, month, april(), standing{})
	w.wantStanding(k, year, april(), standing{used: amount{30, 12}})
}

// wide creates a budget of the organisation.
func (w *world) wide(p billing.Period) string {
	w.Helper()
	b := amount{1_000_000, 1_000_000}.budget(w.id("bud"))
	b.Scope, b.ScopeID, b.Period = billing.ScopeOrg, "org", p
	w.must(w.SetBudget(w.Context(), b, w.now))
	return b.ID
}

// bookCloseRace: each row that arrives while its month is being closed is either part of
// what the month was closed with, or in the next month.
func bookCloseRace(w *world) {
	k := w.key(amount{1_000_000, 1_000_000}.budget("bud_1"))
	const n = 24
	holds := make([]billing.Hold, n)
	for i := range holds {
		holds[i] = w.hold(k, amount{10, 10})
		w.reserve(holds[i])
	}
	errs := make([]error, n+1)
	var p billing.PeriodStanding
	each(w.Context(), n+1, func(ctx context.Context, i int) {
		if i == n/2 {
			p, errs[i] = w.ClosePeriod(ctx, closing("2026-03", april()))
			return
		}
		h := holds[min(i, n-1)]
		if i > n/2 {
			h = holds[i-1]
		}
		_, errs[i] = w.Settle(ctx, billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{w.row(k, h.ID, amount{10, 3}, w.now)}})
	})
	w.must(errors.Join(errs...))
	var late int64
	for _, r := range w.events(k) {
		if r.ReportDay == "2026-04-01" && r.AdjustsPeriod == "2026-03-01" {
			late++
		}
	}
	if p.Rows+late != n {
		w.Errorf("%d rows in the month and %d after it, want %d", p.Rows, late, n)
	}
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{10 * n, 3 * n}})
	w.wantProved()
}

func bookLateSweep(w *world) {
	k := w.key(amount{1000, 1000}.budget("bud_1"))
	w.reserve(w.hold(k, amount{50, 40}))
	w.close("2026-03", april())
	n, err := w.Sweep(w.Context(), april())
	w.must(err)
	rows := w.events(k)
	if n != 1 || len(rows) != 1 || rows[0].AdjustsPeriod != "2026-03-01" {
		w.Errorf("swept %d into %+v", n, rows)
	}
	w.wantProved()
}

// bookRepriceClosed: the adjustment for a closed month is posted to an open one, says so,
// and counts in the windows of when the usage was.
func bookRepriceClosed(w *world) {
	k := w.key(amount{1_000_000, 1_000_000}.budget("bud_1"))
	w.use(k, amount{100, 40}, w.now)
	before := w.close("2026-03", april())
	p := billing.Price{ID: "price_2", Input: 2_000_000}
	if got := w.reprice(repricing(p)); got.Adjusted != 1 || got.Difference != 60 {
		w.Errorf("got %+v", got)
	}
	if got := w.reprice(repricing(p)); got.Adjusted != 0 {
		w.Errorf("again %+v", got)
	}
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{100, 100}})
	newest := w.events(k)[0]
	if newest.Kind != billing.KindAdjustment {
		newest = w.events(k)[1]
	}
	if newest.ReportDay != "2026-04-01" || newest.AdjustsPeriod != "2026-03-01" {
		w.Errorf("booked as %+v", newest)
	}
	list, err := w.ListPeriods(w.Context())
	w.must(err)
	if len(list) != 2 || list[1] != before || list[0].Money != 60 {
		w.Errorf("periods %+v", list)
	}
	w.wantProved()
	CheckSums(w, w.Store, w.now)
}

// bookRepriceMany has more rows than fit in a batch, from several keys, and several callers
// who reprice them at once.
func bookRepriceMany(w *world) {
	keys := []*billing.Key{w.key(tokens(1_000_000_000).budget("bud_1")), w.key(tokens(1_000_000_000).budget("bud_2"))}
	for i := range 2 {
		h := w.hold(keys[i], tokens(1))
		w.reserve(h)
		rows := make([]billing.Spend, 600)
		for n := range rows {
			rows[n] = w.row(keys[i], h.ID, amount{10, 1}, w.now)
			rows[n].Attempt, rows[n].Final = n+1, n == len(rows)-1
		}
		_, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: rows})
		w.must(err)
	}
	p := billing.Price{ID: "price_2", Input: 1_000_000, Output: 1_000_000}
	sums := make([]billing.Repriced, 3)
	errs := make([]error, len(sums))
	each(w.Context(), len(sums), func(_ context.Context, i int) { sums[i], errs[i] = w.Reprice(w.Context(), repricing(p)) })
	w.must(errors.Join(errs...))
	var adjusted int64
	var money billing.Money
	for _, s := range sums {
		adjusted, money = adjusted+s.Adjusted, money+s.Difference
		if s.Rows != 1200 {
			w.Errorf("looked at %d rows, want 1200", s.Rows)
		}
	}
	if adjusted != 1200 || money != 1200*9 {
		w.Errorf("%d adjustments of %d together, want 1200 of 10800", adjusted, money)
	}
	w.wantProved()
}
