package billingtest

import (
	"strings"
	"time"

	"tallyroute/billing"
)

func bookCorrect(w *world) {
	k := w.key(amount{1000, 1000}.budget("bud_1"))
	w.use(k, amount{10, 50}, w.now)
	for kind, want := range map[billing.Kind]billing.Money{
		billing.KindCredit: -20, billing.KindFee: 20, billing.KindAdjustment: 20,
		billing.KindRefund: -20,
	} {
		row, err := billing.Correction{
			Kind: kind, Amount: 20, Owner: k.Owner(), Reason: "as agreed", Actor: "ann", Occurred: w.now,
			Period: "2026-02",
		}.Spend()
		w.must(err)
		if row.Cost.Total != want || row.AdjustsPeriod != "2026-02-01" {
			w.Errorf("%s is %+v", kind, row)
		}
		if kind != billing.KindRefund {
			w.must(w.Correct(w.Context(), []billing.Spend{row}))
		}
	}
	w.wantStanding(k, "bud_1", w.now, standing{used: amount{10, 70}})
	if err := w.Correct(w.Context(), []billing.Spend{w.row(k, "req_x", tokens(1), w.now)}); err == nil {
		w.Error("usage is taken for a correction")
	}
	for _, c := range []billing.Correction{
		{Kind: billing.KindUsage, Amount: 1},
		{Kind: billing.KindCredit, Amount: -1},
		{Kind: billing.KindFee},
		{Kind: billing.KindAdjustment},
		{Kind: "gift", Amount: 1},
	} {
		c.Owner, c.Reason, c.Actor, c.Occurred = k.Owner(), "r", "a", w.now
		if _, err := c.Spend(); err == nil {
			w.Errorf("%+v is accepted", c)
		}
	}
	w.wantProved()
	CheckSums(w, w.Store, w.now)
}

func bookArchiveRefuses(w *world) {
	k := w.key()
	w.use(k, amount{10, 5}, w.now)
	w.use(k, amount{10, 5}, w.now.AddDate(0, -1, 0))
	w.wantConflict(w.ArchiveMonth(w.Context(), w.file("2026-03", april())))
	w.close("2026-03", april())
	w.wantConflict(w.ArchiveMonth(w.Context(), w.file("2026-03", april()))) // February is older
	w.close("2026-02", april())
	wrong := w.file("2026-02", april())
	wrong.SHA256 = strings.Repeat("0", 64)
	w.wantConflict(w.ArchiveMonth(w.Context(), wrong))
	w.archive("2026-02", april())
	w.wantConflict(w.ArchiveMonth(w.Context(), w.file("2026-02", april())))
	reopen := closing("2026-02", april())
	reopen.Reason = "try"
	_, err := w.ReopenPeriod(w.Context(), reopen)
	w.wantConflict(err)
	r := repricing(billing.Price{ID: "price_2"})
	r.From = noon().AddDate(0, -2, 0)
	_, err = w.Reprice(w.Context(), r)
	w.wantConflict(err)
	w.wantProved()
}

// bookArchive: every total stays, including those of budgets that are created later and
// whose windows begin in the archived month.
func bookArchive(w *world) {
	k := w.key(amount{1_000_000, 1_000_000}.budget("bud_1"))
	for i := range 60 { // February to the beginning of April
		w.use(k, amount{int64(10 + i), billing.Money(i)}, time.Date(2026, 2, 1+i, (7*i)%24, (13*i)%60, i%60, 0, time.UTC))
	}
	at := time.Date(2026, 4, 2, 9, 0, 0, 0, time.UTC)
	var before []string
	var budgets []billing.Budget
	for _, zone := range []string{"UTC", "Asia/Kathmandu", "America/New_York", "Pacific/Kiritimati"} {
		for _, p := range []billing.Period{
			billing.PeriodDay, billing.PeriodWeek, billing.PeriodMonth, billing.PeriodQuarter,
			billing.PeriodYear, billing.PeriodOnce,
		} {
			b := amount{1_000_000, 1_000_000}.budget(w.id("bud"))
			b.Scope, b.ScopeID, b.Period, b.Zone = billing.ScopeOrg, "org", p, zone
			budgets = append(budgets, b)
		}
	}
	standings := func() (all []string) {
		w.Helper()
		probe := *k
		probe.Budgets = nil
		for _, b := range budgets {
			b.ID = w.id("bud")
			w.must(w.SetBudget(w.Context(), b, at))
			probe.Budgets = []billing.Budget{b}
			for _, t := range []time.Time{
				at, w.now, time.Date(2026, 2, 28, 23, 0, 0, 0, time.UTC),
				time.Date(2026, 3, 31, 20, 0, 0, 0, time.UTC),
			} {
				balances, err := w.Balances(w.Context(), &probe, t)
				w.must(err)
				all = append(all, text([]any{b.Period, b.Zone, t, standingOf(balances[0]).used.tokens, standingOf(balances[0]).used.money}))
			}
			w.must(w.RemoveBudget(w.Context(), b.ID))
		}
		return all
	}
	reports := func() (all []string) {
		for _, group := range []billing.Dimension{"team", "model", "key", "project", "provider", "day", "week", "month", "kind"} {
			for _, month := range []billing.Month{"", "2026-02", "2026-03", "2026-04"} {
				report, err := w.Spend(w.Context(), billing.SpendQuery{GroupBy: []billing.Dimension{group}, Month: month})
				w.must(err)
				all = append(all, text(report))
			}
		}
		return all
	}
	before = append(standings(), reports()...)
	for _, m := range []billing.Month{"2026-02", "2026-03"} {
		w.close(m, at)
		w.archive(m, at)
		w.wantProved()
	}
	if rows := w.events(k); len(rows) != 1 {
		w.Errorf("%d rows are left, want those of April", len(rows))
	}
	after := append(standings(), reports()...)
	for i := range before {
		if before[i] != after[i] {
			w.Errorf("archiving changed\n%s\nto\n%s", before[i], after[i])
		}
	}
	list, err := w.ListPeriods(w.Context())
	w.must(err)
	if len(list) != 3 || list[1].Status != billing.PeriodArchived || list[2].Rows != 28 || list[2].ArchivedBy != "ann" {
		w.Errorf("periods %+v", list)
	}
	w.use(w.reread(k), amount{5, 5}, at)
	w.wantProved()
}

// bookArchiveMoved archives a month whose rows belong to another.
func bookArchiveMoved(w *world) {
	k := w.key(amount{1_000_000, 1_000_000}.budget("bud_1"))
	w.use(k, amount{10, 5}, w.now)
	late := w.hold(k, amount{50, 50})
	w.reserve(late)
	w.close("2026-03", april())
	w.settle(k, late, amount{20, 7})
	w.use(k, amount{1, 1}, april())
	may := time.Date(2026, 5, 3, 0, 0, 0, 0, time.UTC)
	w.close("2026-04", may)
	w.archive("2026-03", may)
	w.archive("2026-04", may)
	year, month := w.wide(billing.PeriodYear), w.wide(billing.PeriodMonth)
	k = w.reread(k)
	w.wantStanding(k, year, may, standing{used: amount{31, 13}})
	w.wantStanding(k, month, w.now, standing{used: amount{30, 12}})
	w.wantStanding(k, month, april(), standing{used: amount{1, 1}})
	w.wantProved()
}

func integrityOnce(w *world) {
	k := w.key(amount{1000, 1000}.budget("bud_1"))
	w.use(k, amount{10, 5}, w.now)
	at := w.now.Truncate(time.Millisecond)
	first := w.integrity(billing.IntegrityOptions{Now: at, Since: at.Add(-time.Hour)})
	second := w.integrity(billing.IntegrityOptions{Now: at.Add(time.Minute), Since: at.Add(-time.Hour)})
	third := w.integrity(billing.IntegrityOptions{Now: at.Add(time.Hour), Since: at.Add(time.Minute)})
	if len(first.Laws) == 0 || !first.RanAt.Equal(at) || len(second.Laws) != 0 || !second.RanAt.Equal(at) || len(third.Laws) == 0 {
		w.Errorf("checks %+v, %+v and %+v", first, second, third)
	}
}
