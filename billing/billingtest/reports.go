package billingtest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
)

func reportCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"Groups":        reportGroups,
		"Pairs":         reportPairs,
		"Within":        reportWithin,
		"Tags":          reportTags,
		"Archived":      reportArchived,
		"Usage":         reportUsage,
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

// report returns the cost of each group of a report. It must be the same from rows and from
// breakdowns.
func (w *world) report(q billing.SpendQuery) map[string]billing.Money {
	w.Helper()
	found, err := w.Spend(w.Context(), q)
	w.must(err)
	w.breakDown()
	again, err := w.Spend(w.Context(), q)
	w.must(err)
	w.wantSame(fmt.Sprintf("%v by breakdowns", q.GroupBy), again, found)
	got, sum := make(map[string]billing.Money), billing.Money(0)
	for _, r := range found.Rows {
		got[strings.Join(r.Group, "/")] += r.Cost
		sum += r.Cost
	}
	if sum != found.Total.Cost || int(found.Lines) != len(found.Rows) {
		w.Errorf("%v: %d lines of %d, with a total of %d of %d", q.GroupBy, len(found.Rows), found.Lines, sum, found.Total.Cost)
	}
	return got
}

// breakDown makes all missing breakdowns.
func (w *world) breakDown() {
	w.Helper()
	for left := 1; left > 0; {
		var err error
		left, err = w.MakeBreakdown(w.Context(), w.now)
		w.must(err)
	}
}

// market creates three keys in two teams, which use two models from two providers.
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
	name := func(i int) string {
		return strings.Join([]string{keys[i].Team, keys[i].Project, keys[i].Name, string(keys[i].ID)}, "/")
	}
	for group, want := range map[billing.Dimension]map[string]billing.Money{
		"team":        {"web/cc-web": 63, "data/cc-data": 448},
		"cost_center": {"cc-web": 63, "cc-data": 448},
		"project":     {"web/shop": 7, "web/blog": 56, "data/lake": 448},
		"key":         {name(0): 7, name(1): 56, name(2): 448},
		"provider":    {"a": 1 + 2 + 8 + 16 + 64 + 128, "b": 4 + 32 + 256},
		"model":       {"a/small": 1 + 8 + 64, "a/large": 2 + 16 + 128, "b/small": 4 + 32 + 256},
		"day":         {"2026-03-15": 1, "2026-03-14": 510},
		"week":        {"2026-03-09": 511},
		"month":       {"2026-03": 511},
		"kind":        {"usage": 511},
		"status":      {"ok": 511},
	} {
		w.wantSame(string(group), w.report(billing.SpendQuery{GroupBy: []billing.Dimension{group}, Month: "2026-03"}), want)
	}
	CheckSums(w, w.Store, w.now)
}

// reportPairs: reports by two dimensions, including ones that only rows have.
func reportPairs(w *world) {
	w.market()
	for _, c := range []struct {
		by   []billing.Dimension
		want map[string]billing.Money
	}{
		{[]billing.Dimension{"team", "month"}, map[string]billing.Money{"web/cc-web/2026-03": 63, "data/cc-data/2026-03": 448}},
		{[]billing.Dimension{"cost_center", "team"}, map[string]billing.Money{"cc-web/web": 63, "cc-data/data": 448}},
		{[]billing.Dimension{"provider", "cost_center"}, map[string]billing.Money{
			"a/cc-web": 27, "b/cc-web": 36, "a/cc-data": 192, "b/cc-data": 256,
		}},
		{nil, map[string]billing.Money{}},
	} {
		q := billing.SpendQuery{GroupBy: c.by, From: "2026-03-01", To: "2026-04-01"}
		found, err := w.Spend(w.Context(), q)
		w.must(err)
		got := make(map[string]billing.Money)
		for _, r := range found.Rows {
			got[strings.Join(r.Group, "/")] = r.Cost
		}
		if w.wantSame(strings.Join(q.Words(), ","), got, c.want); found.Total.Cost != 511 || found.Total.Requests != 9 {
			w.Errorf("%v: the total is %+v", c.by, found.Total)
		}
	}
	w.wantSame("one day", w.report(billing.SpendQuery{GroupBy: []billing.Dimension{"team"}, From: "2026-03-15", To: "2026-03-16"}),
		map[string]billing.Money{"web/cc-web": 1})
}

// reportWithin: the spend and usage of selected teams and projects, from daily sums and from rows.
func reportWithin(w *world) {
	keys := w.market()
	var refused []billing.Refused
	hour := w.now.Truncate(time.Hour)
	for _, k := range keys {
		refused = append(refused, billing.Refused{Hour: hour, KeyID: k.ID, Code: "rate_limit_exceeded", Number: 1})
	}
	w.must(w.AddRefusals(w.Context(), refused))
	for _, c := range []struct {
		within *billing.Within
		cost   billing.Money
		keys   int64
	}{
		{nil, 511, 3},
		{&billing.Within{Teams: []string{keys[0].TeamID}}, 63, 2},
		{&billing.Within{Projects: []string{keys[1].ProjectID}}, 56, 1},
		{&billing.Within{Teams: []string{keys[2].TeamID}, Projects: []string{keys[1].ProjectID}}, 504, 2},
		{&billing.Within{}, 0, 0},
		{&billing.Within{Teams: []string{"team_none"}}, 0, 0},
	} {
		for _, by := range []billing.Dimension{"team", "key", "session"} {
			var sum billing.Money
			for _, cost := range w.report(billing.SpendQuery{GroupBy: []billing.Dimension{by}, Month: "2026-03", Within: c.within}) {
				sum += cost
			}
			w.wantSame(fmt.Sprintf("by %s within %+v", by, c.within), sum, c.cost)
		}
		for _, by := range []billing.UsageBy{"key", "project", "model"} {
			list, err := w.Usage(w.Context(), billing.UsageQuery{By: by, From: hour, To: hour.Add(48 * time.Hour), Within: c.within})
			w.must(err)
			var requests, refused int64
			for _, r := range list {
				requests, refused = requests+r.Requests, refused+r.Refused["rate_limit_exceeded"]
			}
			w.wantSame(fmt.Sprintf("usage by %s within %+v", by, c.within), []int64{requests, refused}, []int64{3 * c.keys, c.keys})
		}
	}
}

// reportTags: usage by tag and end user, including rows that have none.
func reportTags(w *world) {
	k := w.key()
	for i, who := range []struct{ feature, user string }{{"chat", "ann"}, {"chat", ""}, {"", "ann"}, {`a"b'$.x`, "bob"}} {
		cost := billing.Money(1) << i
		h := w.hold(k, amount{10, cost})
		w.reserve(h)
		row := w.row(k, h.ID, amount{10, cost}, w.now)
		row.EndUser, row.Tags = who.user, map[string]string{"feature": who.feature, "squad": "x"}
		if who.feature == "" {
			delete(row.Tags, "feature")
		}
		_, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{row}})
		w.must(err)
	}
	for _, c := range []struct {
		by   []billing.Dimension
		want map[string]billing.Money
	}{
		{[]billing.Dimension{"tag:feature"}, map[string]billing.Money{"chat": 3, "(none)": 4, `a"b'$.x`: 8}},
		{[]billing.Dimension{"tag:feature", "tag:squad"}, map[string]billing.Money{"chat/x": 3, "(none)/x": 4, `a"b'$.x/x`: 8}},
		{[]billing.Dimension{`tag:'); DROP TABLE teams; --`}, map[string]billing.Money{"(none)": 15}},
		{[]billing.Dimension{"end_user"}, map[string]billing.Money{"ann": 5, "(none)": 2, "bob": 8}},
		{[]billing.Dimension{"end_user", "tag:feature"}, map[string]billing.Money{
			"ann/chat": 1, "(none)/chat": 2, "ann/(none)": 4, `bob/a"b'$.x`: 8,
		}},
		{[]billing.Dimension{"month", "end_user"}, map[string]billing.Money{"2026-03/ann": 5, "2026-03/(none)": 2, "2026-03/bob": 8}},
	} {
		w.wantSame(fmt.Sprint(c.by), w.report(billing.SpendQuery{GroupBy: c.by, Month: "2026-03"}), c.want)
	}
	top, err := w.Spend(w.Context(), billing.SpendQuery{GroupBy: []billing.Dimension{"end_user"}, Top: 1})
	w.must(err)
	if len(top.Rows) != 1 || top.Rows[0].Group[0] != "bob" || top.Lines != 3 || top.Total.Cost != 15 {
		w.Errorf("the first of all is %+v", top)
	}
	CheckSums(w, w.Store, w.now)
}

// reportArchived: a report by a dimension that only rows have says so for a month
// whose rows were archived, and still includes all of its cost.
func reportArchived(w *world) {
	k := w.key()
	w.use(k, amount{1, 5}, at("2026-03-10T00:00:00Z"))
	w.use(k, amount{1, 7}, at("2026-04-10T00:00:00Z"))
	w.close("2026-03", at("2026-05-01T00:00:00Z"))
	w.archive("2026-03", at("2026-05-01T00:00:00Z"))
	for _, by := range []billing.Dimension{"end_user", "tag:feature"} {
		w.wantSame(string(by), w.report(billing.SpendQuery{GroupBy: []billing.Dimension{by}}),
			map[string]billing.Money{"(archived)": 5, "(none)": 7})
	}
}

// reportUsage: hourly usage by key, project, model and provider, with refusals,
// latencies and per-minute peaks.
func reportUsage(w *world) {
	limit := ofRequests(60, tokens(1000).budget(w.id("bud")))
	limit.Period = billing.PeriodMinute
	k := w.key(limit)
	hour := w.now.Truncate(time.Hour)
	ms := func(n int64) *time.Duration { return billing.FromMillis(&n) }
	for i := range 20 {
		h := w.holdAt(k, amount{10, 1}, hour.Add(time.Duration(i/15)*time.Minute))
		w.reserve(h)
		row := h.IfLost
		row.Status, row.Final, row.Tokens = billing.StatusOK, true, billing.Tokens{Input: 4, Output: 6}
		in, out := int64(100), int64(7)
		row.BytesIn, row.BytesOut, row.Took, row.FirstToken = &in, &out, ms(int64(i+1)*10), ms(int64(i+1))
		failed := row
		failed.Attempt, failed.Final, failed.Status, failed.Took, failed.Provider = 2, false, billing.StatusError, ms(1), "z"
		attempts := []billing.Spend{row}
		if i < 5 {
			attempts = append(attempts, failed)
		}
		_, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: attempts})
		w.must(err)
	}
	for range 2 {
		w.must(w.AddRefusals(w.Context(), []billing.Refused{
			{Hour: hour, KeyID: k.ID, Model: "chat", Code: "insufficient_quota", Number: 2},
			{Hour: hour, Code: "invalid_api_key", Number: 7},
			{Hour: hour.Add(-time.Hour), KeyID: k.ID, Code: "rate_limit_exceeded", Number: 1},
		}))
	}
	ask := func(by billing.UsageBy) []billing.UsageRow {
		list, err := w.Usage(w.Context(), billing.UsageQuery{By: by, From: hour.Add(-time.Hour), To: hour.Add(time.Hour)})
		w.must(err)
		return list
	}
	keys := ask("key")
	if len(keys) != 3 {
		w.Fatalf("three lines are wanted: %+v", keys)
	}
	p50, p95, first50, first95 := int64(100), int64(190), int64(10), int64(19)
	want := billing.UsageRow{
		Hour: hour, Group: []string{k.Name, string(k.ID)}, Requests: 20, Attempts: 25, Errors: 5,
		Refused: map[string]int64{"insufficient_quota": 4}, Took: billing.Quantiles{P50: &p50, P95: &p95},
		First: billing.Quantiles{P50: &first50, P95: &first95}, BytesIn: 2000, BytesOut: 175, PeakRequests: 15, PeakTokens: 200,
		LimitRequests: 60, LimitTokens: 1000,
	}
	if text(keys[1]) != text(want) {
		w.Errorf("the hour is\n%s, want\n%s", text(keys[1]), text(want))
	}
	if keys[0].Requests != 0 || keys[0].Refused["rate_limit_exceeded"] != 2 || keys[2].Refused["invalid_api_key"] != 14 {
		w.Errorf("what was refused: %+v", keys)
	}
	for _, by := range []billing.UsageBy{"project", "model", "provider"} {
		var requests, attempts, refused int64
		for _, r := range ask(by) {
			requests, attempts = requests+r.Requests, attempts+r.Attempts
			for _, n := range r.Refused {
				refused += n
			}
		}
		if requests != 20 || attempts != 25 || refused != 20 {
			w.Errorf("by %s: %d requests, %d attempts, %d refused", by, requests, attempts, refused)
		}
	}
	for _, q := range []billing.UsageQuery{
		{By: "moon", From: hour, To: w.now},
		{By: "key", From: hour, To: hour},
		{By: "key", To: hour},
		{By: "key", From: hour, To: w.now, Lines: -1},
	} {
		if _, err := w.Usage(w.Context(), q); err == nil {
			w.Errorf("%+v is answered", q)
		}
	}
}

// reportOrder: days and weeks are in order of time, everything else by cost.
func reportOrder(w *world) {
	w.market()
	for _, group := range []billing.Dimension{"team", "project", "key", "provider", "model", "day", "week", "end_user"} {
		found, err := w.Spend(w.Context(), billing.SpendQuery{GroupBy: []billing.Dimension{group}, Month: "2026-03"})
		w.must(err)
		sorted := slices.IsSortedFunc(found.Rows, func(a, b billing.SpendRow) int {
			if group.InTime() {
				return strings.Compare(a.Group[0], b.Group[0])
			}
			return int(b.Cost - a.Cost)
		})
		if !sorted {
			w.Errorf("%s is not in order: %v", group, found.Rows)
		}
	}
}

func reportMonth(w *world) {
	k := w.key()
	w.use(k, amount{1, 1}, at("2026-02-28T23:59:59.999999Z"))
	w.use(k, amount{1, 2}, at("2026-03-01T00:00:00Z"))
	w.use(k, amount{1, 4}, at("2026-03-31T23:59:59.999999Z"))
	w.use(k, amount{1, 8}, at("2026-04-01T00:00:00Z"))
	for month, want := range map[billing.Month]billing.Money{"2026-02": 1, "2026-03": 6, "2026-04": 8, "": 15} {
		if got := w.report(billing.SpendQuery{GroupBy: []billing.Dimension{"provider"}, Month: month})["demo-a"]; got != want {
			w.Errorf("%q: %d, want %d", month, got, want)
		}
	}
	if got := w.report(billing.SpendQuery{GroupBy: []billing.Dimension{"day"}, Month: "2026-05"}); len(got) != 0 {
		w.Errorf("a month without spend: %v", got)
	}
	CheckSums(w, w.Store, w.now)
}

func reportOneKey(w *world) {
	keys := w.market()
	w.wantSame("one key", w.report(billing.SpendQuery{GroupBy: []billing.Dimension{"provider"}, Month: "2026-03", KeyID: keys[1].ID}),
		map[string]billing.Money{"a": 24, "b": 32})
	w.wantSame("no key", w.report(billing.SpendQuery{GroupBy: []billing.Dimension{"provider"}, Month: "2026-03", KeyID: "key_none"}),
		map[string]billing.Money{})
}

func reportWrong(w *world) {
	for _, q := range []billing.SpendQuery{
		{GroupBy: []billing.Dimension{"moon"}, Month: "2026-03"},
		{GroupBy: []billing.Dimension{"tag:"}, Month: "2026-03"},
		{GroupBy: []billing.Dimension{"day", "day"}, Month: "2026-03"},
		{GroupBy: []billing.Dimension{"day", "team", "key"}, Month: "2026-03"},
		{GroupBy: []billing.Dimension{"day"}, Month: "2026-03", From: "2026-03-01"},
		{GroupBy: []billing.Dimension{"day"}, From: "2026-03-02", To: "2026-03-02"},
		{GroupBy: []billing.Dimension{"day"}, From: "yesterday"},
		{GroupBy: []billing.Dimension{"day"}, Top: billing.MostLines + 1},
		{GroupBy: []billing.Dimension{"team; DROP TABLE teams"}, Month: "2026-03"},
		{GroupBy: []billing.Dimension{"day"}, Month: "March"},
		{GroupBy: []billing.Dimension{"day"}, Month: "2026-13"},
		{GroupBy: []billing.Dimension{"day"}, Month: "2026-03-01"},
	} {
		if _, err := w.Spend(w.Context(), q); err == nil {
			w.Errorf("%+v is answered", q)
		}
	}
}

// reportDays spends 1, 2, 4, … at the given instants and reports by day.
func (w *world) reportDays(zone string, instants []string, want map[string]billing.Money) {
	w.Helper()
	z := w.in(zone)
	k := z.key()
	cost := billing.Money(1)
	for _, s := range instants {
		z.use(k, amount{1, cost}, at(s))
		cost *= 2
	}
	z.wantSame(zone, z.report(billing.SpendQuery{GroupBy: []billing.Dimension{"day"}}), want)
	sum := make(map[string]billing.Money)
	for _, r := range z.events(k) {
		sum[r.ReportDay] += r.Cost.Total
	}
	z.wantSame("rows in "+zone, sum, want)
	CheckSums(z, z.Store, z.now)
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

// reportOneNumber settles rows of every kind and checks that all reports and
// balances agree with the rows.
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
		row.Tokens.CacheRead, row.Tokens.CacheWrite, row.Price.Input = int64(i%4), int64(i%5), 2_500_000
		retry := row
		retry.Attempt, row.Final = 2, false
		attempts := []billing.Spend{row, retry}
		if i%7 == 0 {
			attempts = attempts[1:]
		}
		_, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: attempts})
		w.must(err)
	}
	CheckSums(w, w.Store, w.now)
	CheckSums(w, w.Store, w.now.AddDate(0, 1, 0))
}

// reportOwnersChange: moving or revoking a key does not change past reports.
func reportOwnersChange(w *world) {
	k := w.key()
	w.use(k, amount{1, 1}, w.now)
	before := w.report(billing.SpendQuery{GroupBy: []billing.Dimension{"team"}, Month: "2026-03"})
	p := w.project("data", "lake")
	w.change(k, func(k *billing.Key) { k.ProjectID, k.RevokedAt = p.ID, w.now })
	w.wantSame("by team", w.report(billing.SpendQuery{GroupBy: []billing.Dimension{"team"}, Month: "2026-03"}), before)
	w.wantSame("by key", w.report(billing.SpendQuery{GroupBy: []billing.Dimension{"key"}, Month: "2026-03"}),
		map[string]billing.Money{"web/shop/" + k.Name + "/" + string(k.ID): 1})
	CheckSums(w, w.Store, w.now)
}
