package billingtest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
)

// The stores under test stop keys at billing.DefaultOverrunLimit: a dollar, or
// 5 percent of the tightest budget.

func overrunCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"KeyIsStoppedByADollar":                      stopDollar,
		"KeyIsStoppedByFivePercentOfItsTightest":     stopPercent,
		"KeyWithoutABudgetIsToldOnly":                stopNoBudget,
		"PostedRowsStopAKeyOnce":                     stopPosted,
		"SweptRowStopsAKey":                          stopSwept,
		"StoppedKeyIsEnabledAndCountsAnew":           stopEnable,
		"ChangeOfAKeyKeepsItsOverrun":                stopChange,
		"ManyOverrunsAtOnceStopAKeyOnce":             stopRace,
		"EventsAreWrittenOnceWithTheirCause":         eventsOnce,
		"DenialIsToldOncePerKeyAndWindow":            eventsDenied,
		"ProvisionalDenialIsNotTold":                 eventsProvisional,
		"OldEventsArePruned":                         eventsPruned,
		"StoppedKeysAreListed":                       stopListed,
		"RowThatIsRefusedWritesNoEventOfAnOverrun":   eventsRefused,
		"HostileTextInEvents":                        eventsHostile,
		"RowOfAKeyThatIsNotThereStopsNobodyAndStays": stopUnknown,
	}
}

// overrun settles a request that used more than was held for it.
func (w *world) overrun(k *billing.Key, over billing.Amount) {
	w.Helper()
	k = w.reread(k)
	h := w.hold(k, amount{10, 10})
	w.reserve(h)
	_, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{w.over(k, h.ID, over)}})
	w.must(err)
}

// over returns a row with an overrun.
func (w *world) over(k *billing.Key, request string, over billing.Amount) billing.Spend {
	row := w.row(k, request, amount{10 + over.Tokens, 10 + over.Money}, w.now)
	row.OverrunTokens, row.OverrunMoney = over.Tokens, over.Money
	return row
}

// enabled enables a key that may have been stopped for an overrun, and returns it.
func (w *world) enabled(k *billing.Key) *billing.Key {
	w.Helper()
	_, err := manage.Actions{Store: w.Store}.EnableKey(w.Context(), k.ID, manage.Ending{}, manage.By{Actor: "test"})
	w.must(err)
	return w.reread(k)
}

// told returns the events of a kind about an object, oldest first.
func (w *world) told(kind billing.EventKind, object string) []billing.Event {
	w.Helper()
	all, err := w.ListEvents(w.Context(), billing.EventFilter{Kind: kind, Object: object, Limit: 1000})
	w.must(err)
	slices.Reverse(all)
	return slices.DeleteFunc(all, func(e billing.Event) bool { return e.Kind != kind || e.Object != object })
}

// wantStopped checks that a key was stopped: holds are refused even with an old
// copy of it, and there is exactly one event.
func (w *world) wantStopped(k *billing.Key) {
	w.Helper()
	got := w.reread(k)
	if got.StoppedAt.IsZero() || got.Version <= k.Version || !errors.Is(got.InForce(w.now), billing.ErrStopped) {
		w.Fatalf("key of version %d is %+v, want it stopped", k.Version, got)
	}
	for _, copy := range []*billing.Key{k, got} {
		_, err := w.Reserve(w.Context(), w.hold(copy, tokens(1)), w.now)
		w.wantErr(err, billing.ErrStopped)
	}
	if told := w.told(billing.EventOverrun, string(k.ID)); len(told) != 1 || told[0].Severity != billing.Critical ||
		told[0].Data["stopped"] != "true" {
		w.Errorf("told %+v", told)
	}
}

func (w *world) wantRunning(k *billing.Key) {
	w.Helper()
	if got := w.reread(k); !got.StoppedAt.IsZero() || got.InForce(w.now) != nil {
		w.Fatalf("key is stopped: %+v", got)
	}
}

const dollar = billing.NanoPerUSD

func stopDollar(w *world) {
	k := w.key(amount{-1, 1000 * dollar}.budget(""))
	w.overrun(k, billing.Amount{Tokens: 1_000_000, Money: dollar / 2})
	w.overrun(k, billing.Amount{Money: dollar / 2})
	w.wantRunning(k)
	if got := w.reread(k); got.Overrun != (billing.Amount{Tokens: 1_000_000, Money: dollar}) || got.Version != k.Version {
		w.Errorf("overrun %+v, version from %d to %d", got.Overrun, k.Version, got.Version)
	}
	w.overrun(k, billing.Amount{Money: 1})
	w.wantStopped(k)
	CheckSums(w, w.Store, w.now)
}

func stopPercent(w *world) {
	for name, limit := range map[string]amount{"tokens": {1000, -1}, "money": {-1, 1000}, "both": {1000, 1000}} {
		for _, scope := range []billing.Scope{billing.ScopeKey, billing.ScopeTeam} {
			p := w.project("team-"+name+string(scope), "shop")
			k := w.keyIn(p, amount{1_000_000, 1_000_000}.budget(""))
			if scope == billing.ScopeTeam {
				w.budget(billing.ScopeTeam, p.TeamID, limit)
			} else {
				k = w.change(k, func(k *billing.Key) { k.Budgets = append(k.Budgets, limit.budget(w.id("bud"))) })
			}
			k = w.reread(k)
			w.overrun(k, billing.Amount{Tokens: 50, Money: 50})
			w.wantRunning(k)
			w.overrun(k, billing.Amount{Tokens: 1, Money: 1})
			w.wantStopped(k)
		}
	}
}

func stopNoBudget(w *world) {
	k := w.key()
	for range 3 {
		w.overrun(k, billing.Amount{Tokens: 7, Money: dollar})
	}
	w.wantRunning(k)
	told := w.told(billing.EventOverrun, string(k.ID))
	if len(told) != 1 || told[0].Severity != billing.Critical || told[0].Data["stopped"] != "false" ||
		told[0].Data["overrun_nano"] != "2000000000" {
		w.Errorf("told %+v", told)
	}
	if !strings.Contains(told[0].Text, "14 tokens and $2 more") {
		w.Errorf("the text is %q", told[0].Text)
	}
}

func stopPosted(w *world) {
	k := w.key(amount{-1, 1000 * dollar}.budget("bud_1"))
	r := w.replica()
	p := billing.Posting{Rows: []billing.Spend{
		w.over(k, "req_a", billing.Amount{Money: dollar}),
		w.over(k, "req_b", billing.Amount{Tokens: 3}),
	}}
	w.post(r, 1, p)
	w.post(r, 1, p) // as if the answer to the first had been lost
	w.post(r, 2, p)
	w.wantRunning(k)
	if got := w.reread(k).Overrun; got != (billing.Amount{Tokens: 3, Money: dollar}) {
		w.Errorf("overrun %+v", got)
	}
	p = billing.Posting{Rows: []billing.Spend{w.over(k, "req_c", billing.Amount{Money: 1}), w.over(k, "req_d", billing.Amount{Money: 1})}}
	w.post(r, 3, p)
	w.wantStopped(k)
	w.post(r, 4, billing.Posting{Rows: []billing.Spend{w.over(k, "req_e", billing.Amount{Money: dollar})}}) // it was in flight
	w.wantStopped(k)
	w.wantUsed(k, "bud_1", amount{5*10 + 3, 2*dollar + 5*10 + 2})
	CheckSums(w, w.Store, w.now)
}

func stopSwept(w *world) {
	k := w.key(tokens(100).budget(""))
	h := w.hold(k, tokens(10))
	h.IfLost = w.over(k, h.ID, billing.Amount{Tokens: 6})
	w.reserve(h)
	_, err := w.Sweep(w.Context(), w.now.Add(time.Hour))
	w.must(err)
	w.wantStopped(k)
}

func stopEnable(w *world) {
	k := w.key(tokens(1000).budget(""))
	w.overrun(k, billing.Amount{Tokens: 51})
	w.wantStopped(k)
	actions := manage.Actions{Store: w.Store, Clock: func() time.Time { return w.now }}
	enabled, err := actions.EnableKey(w.Context(), k.ID, manage.Ending{}, manage.By{Actor: "ann", Reason: "the provider has fixed it"})
	w.must(err)
	w.wantRunning(k)
	if enabled.Overrun != (billing.Amount{}) || !enabled.EnabledAt.Equal(w.now) || enabled.EnabledBy != "ann" ||
		enabled.EnabledReason != "the provider has fixed it" {
		w.Errorf("enabled as %+v", enabled)
	}
	again, err := actions.EnableKey(w.Context(), k.ID, manage.Ending{}, manage.By{Actor: "bob"})
	w.must(err)
	if again.EnabledBy != "ann" || again.Version <= enabled.Version {
		w.Errorf("a key that was not stopped was enabled by %s, from version %d to %d", again.EnabledBy, enabled.Version, again.Version)
	}
	w.overrun(k, billing.Amount{Tokens: 50})
	w.wantRunning(k)
	w.overrun(k, billing.Amount{Tokens: 1})
	if w.reread(k).StoppedAt.IsZero() {
		w.Error("not stopped again")
	}
	if told := w.told(billing.EventOverrun, string(k.ID)); len(told) != 2 {
		w.Errorf("told %+v", told)
	}
}

// stopChange: changing a key does not overwrite the overrun that settlements record.
func stopChange(w *world) {
	k := w.key(tokens(1000).budget(""))
	w.overrun(k, billing.Amount{Tokens: 50})
	k = w.change(k, func(k *billing.Key) { k.Name = "other" })
	if k.Overrun.Tokens != 50 {
		w.Errorf("overrun %+v", k.Overrun)
	}
	w.overrun(k, billing.Amount{Tokens: 1})
	if got := w.change(k, func(k *billing.Key) { k.Name = "third" }); got.StoppedAt.IsZero() {
		w.Error("a change lets the key go on")
	}
}

func stopRace(w *world) {
	const n = 40
	k := w.key(amount{-1, 1000 * dollar}.budget(""))
	holds := make([]billing.Hold, n)
	for i := range holds {
		holds[i] = w.hold(k, amount{10, 10})
		w.reserve(holds[i])
	}
	each(w.Context(), n+5, func(_ context.Context, i int) {
		if i >= n {
			w.change(k, func(k *billing.Key) { k.RotateEvery += time.Hour })
			return
		}
		row := w.over(k, holds[i].ID, billing.Amount{Tokens: 1, Money: dollar / 10})
		if _, err := w.Settle(w.Context(), billing.Settlement{HoldID: holds[i].ID, Attempts: []billing.Spend{row}}); err != nil {
			w.Error(err)
		}
	})
	got := w.reread(k)
	if got.Overrun != (billing.Amount{Tokens: n, Money: n * dollar / 10}) || got.Version != k.Version+5+1 ||
		got.RotateEvery != 5*time.Hour {
		w.Errorf("%+v, from version %d", got, k.Version)
	}
	w.wantStopped(k)
	CheckSums(w, w.Store, w.now)
}

func stopListed(w *world) {
	stopped, running := w.key(tokens(100).budget("")), w.key()
	w.overrun(stopped, billing.Amount{Tokens: 100})
	for status, want := range map[string]billing.KeyID{"stopped": stopped.ID, "active": running.ID} {
		got, err := w.ListKeys(w.Context(), billing.KeyFilter{Status: status, Now: w.now})
		w.must(err)
		if len(got) != 1 || got[0].ID != want {
			w.Errorf("%s: %+v", status, got)
		}
	}
}

func stopUnknown(w *world) {
	k := w.key()
	row := w.over(k, "req_a", billing.Amount{Money: 5 * dollar})
	row.Owner.KeyID = "key_none"
	w.post(w.replica(), 1, billing.Posting{Rows: []billing.Spend{row}})
	rows, err := w.Events(w.Context(), billing.EventQuery{KeyID: "key_none"})
	w.must(err)
	if len(rows) != 1 {
		w.Errorf("rows %+v", rows)
	}
}

func eventsOnce(w *world) {
	k := w.key()
	r := w.replica()
	row := w.over(k, "req_a", billing.Amount{Tokens: 5, Money: 7})
	row.Disputed, row.Reported = true, &billing.Tokens{Input: 1, Output: -2}
	own := billing.Event{
		Kind: billing.EventDenied, Object: "key_1", Severity: billing.Info, Text: "a test", DedupID: "mine", At: w.now,
		Data: map[string]string{"a": "b"},
	}
	p := billing.Posting{
		Rows: []billing.Spend{row}, Events: []billing.Event{own, own},
		Rejects: []billing.Reject{{Row: w.row(k, "req_b", tokens(3), w.now), Reason: "why"}},
	}
	w.post(r, 1, p)
	w.post(r, 2, p)
	all, err := w.ListEvents(w.Context(), billing.EventFilter{})
	w.must(err)
	want := append(billing.RowEvents([]billing.Spend{row}), own, p.Rejects[0].Event())
	byID := func(a, b billing.Event) int { return strings.Compare(a.DedupID, b.DedupID) }
	slices.SortFunc(all, byID)
	slices.SortFunc(want, byID)
	w.wantSame("events", all, want)
	for _, f := range []struct {
		filter billing.EventFilter
		n      int
	}{
		{billing.EventFilter{Limit: 2}, 2},
		{billing.EventFilter{Kind: billing.EventRejected}, 1},
		{billing.EventFilter{Object: "key_1"}, 1},
		{billing.EventFilter{Kind: billing.EventRejected, Object: "key_1"}, 0},
		{billing.EventFilter{Since: w.now}, len(want)},
		{billing.EventFilter{Since: w.now.Add(time.Minute)}, 0},
	} {
		if got, err := w.ListEvents(w.Context(), f.filter); err != nil || len(got) != f.n {
			w.Errorf("%+v: %+v, %v", f.filter, got, err)
		}
	}
}

func eventsDenied(w *world) {
	k := w.key(tokens(10).budget("bud_1"))
	for range 3 {
		_, err := w.Reserve(w.Context(), w.hold(k, tokens(11)), w.now)
		w.wantRefused(err, "bud_1")
	}
	told := w.told(billing.EventDenied, string(k.ID))
	if len(told) != 1 || told[0].Data["budget_id"] != "bud_1" {
		w.Errorf("told %+v", told)
	}
}

// eventsProvisional: refusing a provisional hold, which is retried with a smaller amount, is
// not a denial and does not hide a real one that follows.
func eventsProvisional(w *world) {
	k := w.key(tokens(10).budget("bud_1"))
	h := w.hold(k, tokens(11))
	h.Provisional = true
	_, err := w.Reserve(w.Context(), h, w.now)
	w.wantRefused(err, "bud_1")
	if told := w.told(billing.EventDenied, string(k.ID)); len(told) != 0 {
		w.Errorf("told %+v", told)
	}
	_, err = w.Reserve(w.Context(), w.hold(k, tokens(11)), w.now)
	w.wantRefused(err, "bud_1")
	if told := w.told(billing.EventDenied, string(k.ID)); len(told) != 1 {
		w.Errorf("told %+v", told)
	}
}

func eventsPruned(w *world) {
	k := w.key(tokens(10).budget("bud_1"))
	_, err := w.Reserve(w.Context(), w.hold(k, tokens(11)), w.now)
	w.wantRefused(err, "bud_1")
	for _, step := range []struct {
		year, pruned, left int
	}{{2001, 0, 1}, {2201, 1, 0}, {2201, 0, 0}} {
		n, err := w.PruneEvents(w.Context(), time.Date(step.year, 1, 1, 0, 0, 0, 0, time.UTC))
		w.must(err)
		if told := w.told(billing.EventDenied, string(k.ID)); n != step.pruned || len(told) != step.left {
			w.Errorf("before %d: %d pruned, left %+v", step.year, n, told)
		}
	}
}

func eventsRefused(w *world) {
	k := w.key(tokens(100).budget(""))
	bad := w.over(k, "req_bad", billing.Amount{Tokens: 50})
	bad.Cost.Total++ // more than the sum of its meters
	p := billing.Posting{Replica: w.replica(), Seq: 1, Rows: []billing.Spend{bad}}
	_, err := w.Post(w.Context(), p)
	var refused *billing.RowError
	if !errors.As(err, &refused) {
		w.Fatalf("got %v", err)
	}
	w.wantRunning(k)
	if all, err := w.ListEvents(w.Context(), billing.EventFilter{}); err != nil || len(all) != 0 {
		w.Errorf("told %+v, %v", all, err)
	}
}

func eventsHostile(w *world) {
	k := w.key()
	for i, s := range hostile() {
		row := hostileRow(w.over(k, w.id("req"), billing.Amount{Tokens: 1}), s)
		w.post(w.replica(), 1, billing.Posting{
			Rows:    []billing.Spend{row},
			Rejects: []billing.Reject{{Row: w.row(k, w.id("req"), tokens(1), w.now), Reason: s}},
		})
		all, err := w.ListEvents(w.Context(), billing.EventFilter{Limit: 1000})
		w.must(err)
		all = slices.DeleteFunc(all, func(e billing.Event) bool { return e.Kind == billing.EventModel }) // written once per set of names
		if len(all) != 2*(i+1) {
			w.Fatalf("%.40q: %d events", s, len(all))
		}
	}
}
