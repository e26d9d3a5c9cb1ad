package billingtest

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/access"
	"tallyroute/billing/anomaly"
	"tallyroute/billing/manage"
)

func anomalyCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"OneRouterHasTheTurnToWatch":          watchTurns,
		"WhatKeysDidIsSummedUpByHour":         keyActivity,
		"WhatIsKnownOfKeysIsKeptAndForgotten": keyMemory,
		"UnusualUseIsToldOnceAndEndsTheKey":   watchedKey,
	}
}

func watchTurns(w *world) {
	ctx := w.Context()
	until := w.now.Add(time.Minute)
	watched, mine, err := w.TakeTurn(ctx, w.now, until)
	w.must(err)
	if !mine || !watched.IsZero() {
		w.Fatalf("the first turn: %v, watched until %v", mine, watched)
	}
	if _, mine, err = w.TakeTurn(ctx, w.now, until); err != nil || mine {
		w.Errorf("it is two routers' turn: %v, %v", mine, err)
	}
	event := billing.Event{Kind: billing.EventAnomaly, Object: "key_a", Severity: billing.Warning, DedupID: "one", At: w.now}
	end := billing.Watched{Turn: until, At: w.now, Next: w.now.Add(30 * time.Second), Events: []billing.Event{event}}
	w.must(w.EndTurn(ctx, end))
	w.wantErr(w.EndTurn(ctx, end), billing.ErrTurnLost)
	if told := w.told(billing.EventAnomaly, "key_a"); len(told) != 1 {
		w.Errorf("told %v", told)
	}
	if _, mine, err = w.TakeTurn(ctx, w.now.Add(29*time.Second), until.Add(time.Hour)); err != nil || mine {
		w.Errorf("the next turn came early: %v, %v", mine, err)
	}
	watched, mine, err = w.TakeTurn(ctx, w.now.Add(30*time.Second), until.Add(time.Hour))
	if err != nil || !mine || !watched.Equal(w.now.Truncate(time.Microsecond)) {
		w.Errorf("the next turn: %v, watched until %v, %v", mine, watched, err)
	}
	lost := end
	lost.Events = []billing.Event{{Kind: billing.EventAnomaly, Object: "key_b", Severity: billing.Warning, DedupID: "two", At: w.now}}
	w.wantErr(w.EndTurn(ctx, lost), billing.ErrTurnLost)
	if told := w.told(billing.EventAnomaly, "key_b"); len(told) != 0 {
		w.Errorf("who lost the turn told %v", told)
	}
}

func keyActivity(w *world) {
	ctx := w.Context()
	k := w.key()
	id := string(k.ID)
	hour := w.now.Truncate(time.Hour)
	entries := []access.Entry{
		w.entry(0, id, "10.0.0.1", "one/1", access.Allowed), w.entry(1, id, "10.0.0.1", "one/1", access.Allowed),
		w.entry(2, id, "10.0.0.2", "one/1", "model_not_found"), w.entry(3, id, "10.0.0.1", "one/1", "policy_denied"),
		w.entry(61, id, "10.0.0.1", "one/1", "upstream_error"), w.entry(4, "", "10.0.0.1", "one/1", "invalid_api_key"),
		w.entry(-30, id, "10.0.0.9", "one/1", access.Allowed), w.entry(121, id, "10.0.0.9", "one/1", access.Allowed),
	}
	for i, status := range []int{200, 200, 404, 403, 502, 401, 200, 200} {
		entries[i].Status, entries[i].BytesOut = status, 100
	}
	w.must(w.AppendAccess(ctx, entries))
	w.use(k, amount{30, 70}, w.now)
	w.use(k, amount{5, 7}, w.now.Add(time.Hour))
	a, err := w.KeyActivity(ctx, hour, hour.Add(2*time.Hour))
	w.must(err)
	got := map[int64]anomaly.Sums{}
	for _, h := range a.Hours {
		if h.KeyID != id {
			w.Errorf("an hour of %q", h.KeyID)
		}
		got[h.At.Unix()-hour.Unix()] = h.Sums
	}
	w.wantSame("hours", got, map[int64]anomaly.Sums{
		0:    {Requests: 4, Errors: 1, Denials: 1, Answers: 400, Tokens: 30, Spend: 70},
		3600: {Requests: 1, Answers: 100, Tokens: 5, Spend: 7},
	})
	if len(a.Callers) != 2 || a.Callers[0].Address != "10.0.0.1" || a.Callers[0].Requests != 4 ||
		!a.Callers[0].First.Equal(entries[0].At) || !a.Callers[0].Last.Equal(entries[4].At) {
		w.Errorf("callers: %+v", a.Callers)
	}
	if len(a.Uses) != 2 || a.Uses[0].Requests != 1 || a.Uses[0].Model == "" {
		w.Errorf("uses: %+v", a.Uses)
	}
}

func keyMemory(w *world) {
	ctx := w.Context()
	turn, hour := w.now, w.now.Truncate(time.Hour)
	keep := func(hours []anomaly.Hour, sights []anomaly.Sight, forget time.Time) {
		w.Helper()
		turn = turn.Add(time.Second)
		_, mine, err := w.TakeTurn(ctx, turn, turn.Add(time.Millisecond))
		if err != nil || !mine {
			w.Fatal(mine, err)
		}
		w.must(w.EndTurn(ctx, billing.Watched{
			Turn: turn.Add(time.Millisecond), At: turn, Next: turn, Hours: hours, Sights: sights, Forget: forget,
		}))
	}
	sight := anomaly.Sight{KeyID: "key_a", Kind: anomaly.Network, Value: "10.0.0.0/24", First: hour, Last: hour}
	sums := anomaly.Sums{Requests: 1, Errors: 2, Denials: 3, Answers: 4, Tokens: 5, Spend: 6}
	one, two := anomaly.Hour{KeyID: "key_a", At: hour, Sums: sums},
		anomaly.Hour{KeyID: "key_b", At: hour.Add(time.Hour), Sums: anomaly.Sums{Requests: 7}}
	keep([]anomaly.Hour{one, two}, []anomaly.Sight{sight}, hour)
	one.Requests, sight.Last = 9, hour.Add(2*time.Hour)
	keep([]anomaly.Hour{one}, []anomaly.Sight{sight}, hour)
	hours, err := w.KeyHours(ctx, []string{"key_a"}, hour)
	w.must(err)
	w.wantSame("hours", hours, []anomaly.Hour{one})
	sights, err := w.KeySights(ctx, []string{"key_a", "key_b"})
	w.must(err)
	w.wantSame("sights", sights, []anomaly.Sight{sight})
	keep(nil, nil, hour.Add(time.Hour))
	hours, err = w.KeyHours(ctx, []string{"key_a", "key_b"}, hour.Add(-week))
	if w.must(err); len(hours) != 1 || hours[0].KeyID != "key_b" {
		w.Errorf("left are %v, %v", hours, err)
	}
	keep(nil, nil, hour.Add(3*time.Hour))
	if sights, err = w.KeySights(ctx, []string{"key_a"}); err != nil || len(sights) != 0 {
		w.Errorf("left are %v, %v", sights, err)
	}
}

const week = 7 * 24 * time.Hour

// watched returns the actions of one router whose clock reads at.
func (w *world) watched(at *time.Time) (manage.Actions, manage.KeyWatch) {
	return manage.Actions{Store: w.Store, Clock: func() time.Time { return *at }},
		manage.KeyWatch{Every: time.Minute, Disable: true, Countries: abroad{}, Usual: &manage.Usual{}}
}

// abroad knows one network in another country.
type abroad struct{}

func (abroad) Country(a netip.Addr) string {
	if a.As4()[0] == 203 {
		return "XX"
	}
	return "DE"
}

func watchedKey(w *world) {
	ctx := w.Context()
	thief, scanner := w.key(), w.key()
	now := w.now.Truncate(time.Hour).Add(30 * time.Minute)
	var entries []access.Entry
	request := func(k *billing.Key, at time.Time, from string, status int) {
		e := w.entry(len(entries), string(k.ID), from, "one/1", access.Allowed)
		if e.At, e.Status = at, status; status >= 400 {
			e.Decision = "model_not_found"
		}
		entries = append(entries, e)
	}
	for h := 10 * 24; h > 0; h-- {
		for _, k := range []*billing.Key{thief, scanner} {
			request(k, now.Add(-time.Duration(h)*time.Hour), "10.0.0.1", 200)
		}
	}
	w.must(w.AppendAccess(ctx, entries))
	one, of := w.watched(&now)
	two, ofTwo := w.watched(&now)
	for more := true; more; now = now.Add(time.Second) {
		var found []anomaly.Finding
		var err error
		found, more, err = one.WatchKeys(ctx, of)
		w.must(err)
		if len(found) > 0 {
			w.Fatalf("found in what is usual: %+v", found)
		}
	}
	entries = entries[:0]
	request(thief, now, "203.0.113.9", 200)
	for range 40 {
		request(scanner, now, "10.0.0.1", 404)
	}
	for i := range entries {
		entries[i].RequestID = fmt.Sprintf("req_late_%d", i)
	}
	w.must(w.AppendAccess(ctx, entries))
	for range 3 {
		now = now.Add(time.Minute)
		_, _, err := one.WatchKeys(ctx, of)
		w.must(err)
		_, _, err = two.WatchKeys(ctx, ofTwo)
		w.must(err)
	}
	if told := w.told(billing.EventAnomaly, string(thief.ID)); len(told) != 1 || told[0].Severity != billing.Critical ||
		told[0].Data["what"] != "new_country" || told[0].Data["disabled"] != "true" {
		w.Errorf("of the stolen key was told %+v", told)
	}
	if told := w.told(billing.EventAnomaly, string(scanner.ID)); len(told) != 1 || told[0].Data["what"] != "errors" ||
		told[0].Data["value"] != "40" {
		w.Errorf("of the scan was told %+v", told)
	}
	if k := w.reread(thief); k.DisabledAt.IsZero() || k.DisabledBy != "system" {
		w.Errorf("the stolen key was not disabled: %+v", k)
	}
	if k := w.reread(scanner); !k.DisabledAt.IsZero() {
		w.Errorf("a key was disabled for a warning")
	}
	notes, err := w.ListChanges(ctx, billing.ChangeFilter{Object: string(thief.ID), Action: "key.disable"})
	if w.must(err); len(notes) != 1 || notes[0].Actor != "system" || !strings.Contains(notes[0].Reason, "XX") {
		w.Errorf("notes: %+v", notes)
	}
	usual, err := one.Usual(ctx, scanner.ID)
	if w.must(err); len(usual.Baselines) == 0 || len(usual.Sights) != 3 {
		w.Errorf("what is usual: %+v", usual)
	}
}
