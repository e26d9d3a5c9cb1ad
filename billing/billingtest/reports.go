package billingtest

import (
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
)

func reportCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"Groups":        reportGroups,
		"LargestFirst":  reportOrder,
		"Month":         reportMonth,
		"OneKey":        reportOneKey,
		"Asked wrongly": reportWrong,
		"Kolkata":       reportKolkata,
		"NewYork":       reportNewYork,
		"Auckland":      reportAuckland,
		"OneNumber":     reportOneNumber,
		"OwnersChange":  reportOwnersChange,
	}
}

// report is the groups of a report with what they cost.
func (w *world) report(q billing.SpendQuery) map[string]billing.Money {
	w.Helper()
	rows, err := w.Spend(w.Context(), q)
	w.must(err)
	got := make(map[string]billing.Money)
	for _, r := range rows {
		got[strings.Join(r.Group, "/")] += r.Cost
	}
	return got
}

// market is three keys in two teams that use two models of two providers.
func (w *world) market() []*billing.Key {
	w.Helper()
	keys := []*billing.Key{w.key(), w.keyIn(w.project("web", "blog")), w.keyIn(w.project("data", "lake"))}
	cost := billing.Money(1)
	for _, k := range keys {
		for _, target := range [][2]string{{"a", "small"}, {"a", "large"}, {"b", "small"}} {
			h := w.hold(k, amount{10, cost})
			w.reserve(h)
			row := w.row(k, h.ID, amount{10, cost}, w.now.AddDate(0, 0, int(cost)%2))
			row.Provider, row.Model = target[0], target[1]
			_, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{row}})
			w.must(err)
			cost *= 2
		}
	}
	return keys
}

func reportGroups(w *world) {
	keys := w.market()
	name := func(i int) string { return keys[i].Team + "/" + keys[i].Project + "/" + keys[i].Name }
	for group, want := range map[string]map[string]billing.Money{
		"team":     {"web/cc-web": 63, "data/cc-data": 448},
		"project":  {"shop": 7, "blog": 56, "lake": 448},
		"key":      {name(0): 7, name(1): 56, name(2): 448},
		"provider": {"a": 1 + 2 + 8 + 16 + 64 + 128, "b": 4 + 32 + 256},
		"model":    {"a/small": 1 + 8 + 64, "a/large": 2 + 16 + 128, "b/small": 4 + 32 + 256},
		"day":      {"2026-03-15": 1, "2026-03-14": 510},
	} {
		w.wantSame(group, w.report(billing.SpendQuery{GroupBy: group, Month: "2026-03"}), want)
	}
	CheckSums(w, w, w.now)
}

// reportOrder: days in order, everything else by cost.
func reportOrder(w *world) {
	w.market()
	for _, group := range []string{"team", "project", "key", "provider", "model", "day"} {
		rows, err := w.Spend(w.Context(), billing.SpendQuery{GroupBy: group, Month: "2026-03"})
		w.must(err)
		sorted := slices.IsSortedFunc(rows, func(a, b billing.SpendRow) int {
			if group == "day" {
				return strings.Compare(a.Group[0], b.Group[0])
			}
			return int(b.Cost - a.Cost)
		})
		if !sorted {
			w.Errorf("%s is not in order: %v", group, rows)
		}
	}
}

func reportMonth(w *world) {
	k := w.key()
	w.use(k, amount{1, 1}, at("2026-02-28T23:59:59.999999Z"))
	w.use(k, amount{1, 2}, at("2026-03-01T00:00:00Z"))
	w.use(k, amount{1, 4}, at("2026-03-31T23:59:59.999999Z"))
	w.use(k, amount{1, 8}, at("2026-04-01T00:00:00Z"))
	for month, want := range map[string]billing.Money{"2026-02": 1, "2026-03": 6, "2026-04": 8, "": 15} {
		if got := w.report(billing.SpendQuery{GroupBy: "provider", Month: month})["demo-a"]; got != want {
			w.Errorf("%q: %d, want %d", month, got, want)
		}
	}
	if got := w.report(billing.SpendQuery{GroupBy: "day", Month: "2026-05"}); len(got) != 0 {
		w.Errorf("a month without spend: %v", got)
	}
	CheckSums(w, w, w.now)
}

func reportOneKey(w *world) {
	keys := w.market()
	w.wantSame("one key", w.report(billing.SpendQuery{GroupBy: "provider", Month: "2026-03", KeyID: keys[1].ID}),
		map[string]billing.Money{"a": 24, "b": 32})
	w.wantSame("no key", w.report(billing.SpendQuery{GroupBy: "provider", Month: "2026-03", KeyID: "key_none"}), map[string]billing.Money{})
}

func reportWrong(w *world) {
	for _, q := range []billing.SpendQuery{
		{},
		{GroupBy: "moon", Month: "2026-03"},
		{GroupBy: "team; DROP TABLE teams", Month: "2026-03"},
		{GroupBy: "day", Month: "March"},
		{GroupBy: "day", Month: "2026-13"},
		{GroupBy: "day", Month: "2026-03-01"},
	} {
		if _, err := w.Spend(w.Context(), q); err == nil {
			w.Errorf("%+v is answered", q)
		}
	}
}

// reportDays uses 1, 2, 4, … at each instant and reports by day.
func (w *world) reportDays(zone string, instants []string, want map[string]billing.Money) {
	w.Helper()
	z := w.in(zone)
	k := z.key()
	cost := billing.Money(1)
	for _, s := range instants {
		z.use(k, amount{1, cost}, at(s))
		cost *= 2
	}
	z.wantSame(zone, z.report(billing.SpendQuery{GroupBy: "day"}), want)
	sum := make(map[string]billing.Money)
	for _, r := range z.events(k) {
		sum[r.ReportDay] += r.Cost.Total
	}
	z.wantSame("rows in "+zone, sum, want)
	CheckSums(z, z, z.now)
}

func reportKolkata(w *world) {
	w.reportDays("Asia/Kolkata",
		[]string{"2026-02-28T18:29:59.999999Z", "2026-02-28T18:30:00Z", "2026-03-01T18:29:59.999999Z", "2026-03-01T18:30:00Z"},
		map[string]billing.Money{"2026-02-28": 1, "2026-03-01": 6, "2026-03-02": 8})
}

func reportNewYork(w *world) {
	w.reportDays("America/New_York",
		[]string{
			"2026-03-08T04:59:59.999999Z", "2026-03-08T05:00:00Z", "2026-03-09T03:59:59.999999Z", "2026-03-09T04:00:00Z", // 23 hours
			"2026-11-01T03:59:59.999999Z", "2026-11-01T04:00:00Z", "2026-11-02T04:59:59.999999Z", "2026-11-02T05:00:00Z", // 25 hours
		},
		map[string]billing.Money{"2026-03-07": 1, "2026-03-08": 6, "2026-03-09": 8, "2026-10-31": 16, "2026-11-01": 96, "2026-11-02": 128})
}

func reportAuckland(w *world) {
	w.reportDays("Pacific/Auckland",
		[]string{"2025-12-31T10:59:59.999999Z", "2025-12-31T11:00:00Z"},
		map[string]billing.Money{"2025-12-31": 1, "2026-01-01": 2})
}

// reportOneNumber mixes everything that can be settled and wants every report,
// every balance and the rows to agree.
func reportOneNumber(w *world) {
	k := w.plenty(w.manyBudgets())
	other := w.keyIn(w.project("data", "lake"))
	for i := range 60 {
		key := []*billing.Key{k, other}[i%2]
		key = w.reread(key)
		h := w.hold(key, amount{1, 10})
		w.reserve(h)
		row := w.row(key, h.ID, amount{int64(i % 3), billing.Money(i % 11)}, w.now.Add(time.Duration(i)*11*time.Hour))
		row.Status = []billing.Status{billing.StatusOK, billing.StatusError, billing.StatusDisputed, billing.StatusOK}[i%4]
		row.UsageSource = []billing.Provenance{billing.Reported, billing.Counted, billing.Bounded}[i%3]
		row.Pricing = []billing.Pricing{billing.Priced, billing.Priced, billing.Priced, billing.Priced, billing.Unpriced}[i%5]
		row.Baseline, row.OverrunTokens, row.OverrunMoney = row.Cost.Total*2, int64(i%2), billing.Money(i%3)
		row.Tokens.CacheRead, row.Tokens.CacheWrite = int64(i%4), int64(i%5)
		retry := row
		retry.Attempt, row.Final = 2, false
		attempts := []billing.Spend{row, retry}
		if i%7 == 0 {
			attempts = attempts[1:]
		}
		_, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: attempts})
		w.must(err)
	}
	CheckSums(w, w, w.now)
	CheckSums(w, w, w.now.AddDate(0, 1, 0))
}

// reportOwnersChange: what was reported yesterday is reported tomorrow.
func reportOwnersChange(w *world) {
	k := w.key()
	w.use(k, amount{1, 1}, w.now)
	before := w.report(billing.SpendQuery{GroupBy: "team", Month: "2026-03"})
	p := w.project("data", "lake")
	w.change(k, func(k *billing.Key) { k.ProjectID, k.RevokedAt = p.ID, w.now })
	w.wantSame("by team", w.report(billing.SpendQuery{GroupBy: "team", Month: "2026-03"}), before)
	w.wantSame("by key", w.report(billing.SpendQuery{GroupBy: "key", Month: "2026-03"}), map[string]billing.Money{"web/shop/" + k.Name: 1})
	CheckSums(w, w, w.now)
}
