package billingtest

import (
	"context"
	"sync/atomic"
	"time"

	"tallyroute/billing"
)

func alertCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"FiresOnceOfManyAtOnce":       alertOnce,
		"ComesAgainOnceItWasOver":     alertComesAgain,
		"NoticesAreSentUntilTheyAre":  noticesUntilDelivered,
		"ReplayedAndPruned":           alertReplayed,
		"EventsAndChangesAreJudged":   judgedOnce,
		"StandingsNearTheirLimits":    standingsNear,
		"StandingsOfMoments":          standingsOfMoments,
		"WhatIsToBeReplacedSoon":      replacedSoon,
		"WhatExpiresAndHasNoPrice":    expiriesAndUnpriced,
		"AnIncidentIsSealedAndClosed": incidentSealed,
	}
}

func (w *world) alert(claim string) billing.Alert {
	return billing.Alert{
		ID: billing.NewID("alert_"), Claim: claim, Kind: "limit", Object: "bud_1", Severity: billing.Warning, Title: "t", Text: "x",
		Remedy: "r",
		TeamID: "team_1", Team: "web", Owner: "ann@example.com", Data: map[string]string{"a": "b"}, At: noon(),
		To: []billing.NoticeTo{{Channel: "ops", Due: noon()}, {Channel: "chat", Due: noon().Add(time.Hour)}},
	}
}

func (w *world) fire(at time.Time, alerts ...billing.Alert) []billing.Alert {
	w.Helper()
	fired, err := w.FireAlerts(w.Context(), billing.Firing{Alerts: alerts}, at)
	w.must(err)
	return fired
}

func alertOnce(w *world) {
	var fired atomic.Int64
	each(w.Context(), 8, func(ctx context.Context, _ int) {
		got, err := w.FireAlerts(ctx, billing.Firing{Alerts: []billing.Alert{w.alert("a"), w.alert("b")}}, noon())
		w.must(err)
		fired.Add(int64(len(got)))
	})
	list, err := w.ListAlerts(w.Context(), billing.AlertFilter{Object: "bud_1"})
	w.must(err)
	if fired.Load() != 2 || len(list) != 2 || len(list[0].Notices) != 2 {
		w.Fatalf("fired %d, listed %+v", fired.Load(), list)
	}
	want := w.alert(list[0].Claim)
	want.ID, want.To = list[0].ID, nil
	w.wantSame("alert", list[0].Alert, want)
}

func alertComesAgain(w *world) {
	a := w.alert("down")
	a.Rearm = time.Hour
	again := func() billing.Alert { b := a; b.ID = billing.NewID("alert_"); return b }
	for i, step := range []struct {
		after time.Duration
		fires bool
	}{{0, true}, {30 * time.Minute, false}, {80 * time.Minute, false}, {150 * time.Minute, true}, {151 * time.Minute, false}} {
		if fired := w.fire(noon().Add(step.after), again()); (len(fired) == 1) != step.fires {
			w.Errorf("step %d fired %v", i, fired)
		}
	}
}

func noticesUntilDelivered(w *world) {
	w.fire(noon(), w.alert("a"))
	claim := func(at time.Time) (billing.Notice, bool) {
		n, found, err := w.ClaimNotice(w.Context(), nil, at, at.Add(time.Minute))
		w.must(err)
		return n, found
	}
	n, found := claim(noon())
	if !found || n.Channel != "ops" || n.Tries != 1 || n.Text != "x" || n.Data["a"] != "b" {
		w.Fatalf("%v %+v", found, n)
	}
	if n, found := claim(noon().Add(time.Second)); found {
		w.Errorf("%+v was claimed twice", n)
	}
	if n, found = claim(noon().Add(2 * time.Minute)); !found || n.Tries != 2 {
		w.Fatalf("whoever claimed it died: %v %+v", found, n)
	}
	n.Failure, n.DueAt = "it is away", noon().Add(3*time.Minute)
	w.must(w.EndNotice(w.Context(), n))
	w.wantNotices("ops", billing.NoticeFailing)
	if n, found = claim(noon().Add(3 * time.Minute)); !found || n.Failure != "it is away" {
		w.Fatalf("%v %+v", found, n)
	}
	n.Failure, n.DeliveredAt = "", noon().Add(3*time.Minute)
	w.must(w.EndNotice(w.Context(), n))
	w.wantNotices("ops", billing.NoticeDelivered)
	if n, found = claim(noon().Add(2 * time.Hour)); !found || n.Channel != "chat" {
		w.Fatalf("%v %+v", found, n)
	}
	n.Failure, n.DeadAt = "it is gone", noon().Add(2*time.Hour)
	w.must(w.EndNotice(w.Context(), n))
	w.wantNotices("chat", billing.NoticeDead)
	if n, found = claim(noon().Add(24 * time.Hour)); found {
		w.Errorf("%+v was claimed", n)
	}
}

func (w *world) wantNotices(channel string, want billing.NoticeStatus) {
	w.Helper()
	list, err := w.ListAlerts(w.Context(), billing.AlertFilter{Status: want})
	w.must(err)
	for _, r := range list {
		for _, n := range r.Notices {
			if n.Channel == channel && n.Status() == want {
				return
			}
		}
	}
	w.Errorf("%s is not %s: %+v", channel, want, list)
}

func alertReplayed(w *world) {
	a := w.fire(noon(), w.alert("a"))[0]
	w.must(w.ReplayAlert(w.Context(), a.ID, []billing.NoticeTo{{Channel: "new", Due: noon().Add(-time.Minute)}},
		w.note("alert.replay", a.ID)))
	w.wantNotFound(w.ReplayAlert(w.Context(), "alert_none", nil), "alert")
	if n, found, err := w.ClaimNotice(w.Context(), []string{"new", "ops"}, noon(), noon().Add(time.Minute)); err != nil || found {
		w.Errorf("of busy channels: %v %+v, %v", found, n, err)
	}
	n, found, err := w.ClaimNotice(w.Context(), nil, noon(), noon().Add(time.Minute))
	w.must(err)
	if !found || n.Channel != "new" || n.ID != a.ID {
		w.Errorf("%v %+v", found, n)
	}
	if gone, err := w.PruneAlerts(w.Context(), noon()); err != nil || gone != 0 {
		w.Errorf("%d, %v", gone, err)
	}
	if gone, err := w.PruneAlerts(w.Context(), noon().Add(time.Second)); err != nil || gone != 1 {
		w.Errorf("%d, %v", gone, err)
	}
}

func judgedOnce(w *world) {
	e := billing.Event{Kind: billing.EventBreach, Object: "ledger", Severity: billing.Critical, Text: "x", DedupID: "d", At: noon()}
	w.must(w.WriteEvents(w.Context(), e))
	w.must(w.Record(w.Context(), w.note("key.revoke", "key_1")))
	events, err := w.UnjudgedEvents(w.Context(), 10)
	w.must(err)
	changes, err := w.UnjudgedChanges(w.Context(), 10)
	w.must(err)
	if len(events) != 1 || events[0].DedupID != "d" || len(changes) != 1 || changes[0].Action != "key.revoke" {
		w.Fatalf("%+v %+v", events, changes)
	}
	_, err = w.FireAlerts(w.Context(), billing.Firing{Events: []string{"d"}, AuditSeq: changes[0].Seq}, noon())
	w.must(err)
	events, err = w.UnjudgedEvents(w.Context(), 10)
	w.must(err)
	if changes, err = w.UnjudgedChanges(w.Context(), 10); err != nil || len(events)+len(changes) != 0 {
		w.Errorf("%+v %+v %v", events, changes, err)
	}
}

func standingsNear(w *world) {
	half, low := w.key(tokens(100).budget("bud_half")), w.key(tokens(100).budget("bud_low"))
	w.use(half, amount{50, 0}, noon())
	w.use(low, amount{2, 0}, noon())
	list, err := w.Standings(w.Context(), billing.StandingQuery{At: noon(), Most: 10})
	w.must(err)
	if len(list) != 1 || list[0].Budget.ID != "bud_half" || list[0].UsedTokens != 50 || list[0].Name != half.Name ||
		list[0].Team != half.Team {
		w.Errorf("%+v", list)
	}
	if list, err = w.Standings(w.Context(), billing.StandingQuery{At: noon(), BudgetID: "bud_low", Most: 10}); err != nil ||
		len(list) != 1 || list[0].UsedTokens != 2 {
		w.Errorf("asked for by its id: %+v, %v", list, err)
	}
}

// standingsOfMoments: a minute is still checked for some time after its end, and concurrency
// limits count the requests in flight.
func standingsOfMoments(w *world) {
	minute, atOnce := onlyRequests(2, "bud_minute"), onlyRequests(2, "bud_once")
	minute.Period, atOnce.Period = billing.PeriodMinute, billing.PeriodConcurrent
	k := w.key(minute, atOnce)
	h := w.holdAt(k, tokens(1), w.now)
	w.reserve(h)
	want := func(after time.Duration, minutes int, underWay int64) {
		w.Helper()
		list, err := w.Standings(w.Context(), billing.StandingQuery{At: w.now.Add(after), Most: 10})
		w.must(err)
		for _, b := range list {
			switch b.Budget.ID {
			case "bud_minute":
				minutes--
			case "bud_once":
				underWay -= b.UsedRequests
			}
		}
		if minutes != 0 || underWay != 0 {
			w.Errorf("after %s: %+v", after, list)
		}
	}
	want(0, 0, 1)
	w.settle(k, h, tokens(1))
	want(0, 1, 0)
	want(2*time.Minute, 1, 0)
	want(time.Hour, 0, 0)
}

// replacedSoon: expiring credentials, and secrets that somebody has to replace.
func replacedSoon(w *world) {
	k := w.key()
	_, err := w.UpdateKey(w.Context(), k.ID, func(k *billing.Key) error { k.RotateEvery = 24 * time.Hour; return nil })
	w.must(err)
	w.must(w.CreateCredential(w.Context(), billing.Credential{
		ID: "cred_1", Provider: "acme", Name: "main", Owner: "ops@example.com", CreatedAt: noon(), ExpiresAt: noon().Add(36 * time.Hour),
		Versions: []billing.CredentialVersion{{Number: 1, Sealed: []byte("x"), CreatedAt: noon()}},
	}))
	list, err := w.Expiries(w.Context(), noon(), noon().Add(48*time.Hour))
	w.must(err)
	if len(list) != 2 || list[0].What != "secret" || list[0].ID != string(k.ID) ||
		list[0].At.Truncate(time.Second) != noon().Add(24*time.Hour).Truncate(time.Second) ||
		list[1].What != "credential" || list[1].Name != "acme/main" ||
		list[1].Owner != "ops@example.com" {
		w.Errorf("%+v", list)
	}
	w.must(w.SetDelivery(w.Context(), billing.Delivery{KeyID: k.ID, Sink: "files", Place: "a"}))
	if list, err = w.Expiries(w.Context(), noon(), noon().Add(48*time.Hour)); err != nil || len(list) != 1 {
		w.Errorf("one that is replaced by itself: %+v, %v", list, err)
	}
}

func expiriesAndUnpriced(w *world) {
	k := w.key()
	_, err := w.UpdateKey(w.Context(), k.ID, func(k *billing.Key) error {
		k.ExpiresAt, k.Address = noon().Add(24*time.Hour), "ann@example.com"
		return nil
	})
	w.must(err)
	list, err := w.Expiries(w.Context(), noon(), noon().Add(48*time.Hour))
	w.must(err)
	if len(list) != 1 || list[0].ID != string(k.ID) || list[0].Owner != "ann@example.com" || list[0].Team != k.Team {
		w.Errorf("%+v", list)
	}
	if list, err = w.Expiries(w.Context(), noon().Add(25*time.Hour), noon().Add(48*time.Hour)); err != nil || len(list) != 0 {
		w.Errorf("%+v, %v", list, err)
	}
	unpriced, err := w.UnpricedSince(w.Context(), noon().Format(time.DateOnly))
	w.must(err)
	failing, err := w.FailingDeliveries(w.Context(), 1)
	w.must(err)
	if len(unpriced)+len(failing) != 0 {
		w.Errorf("%+v %+v", unpriced, failing)
	}
}

func incidentSealed(w *world) {
	k := w.key()
	i := billing.Incident{
		ID: billing.NewID("inc_"), KeyID: k.ID, Action: billing.IncidentRevoke, Reason: "leaked", Since: noon().Add(-time.Hour),
		OpenedAt: noon(),
		OpenedBy: "cli:ann", Bundle: `{"a":1}`, SHA256: "aa", Signature: "s", PublicKey: "p",
	}
	w.must(w.AddIncident(w.Context(), i, w.note("incident.open", i.ID)))
	end := billing.Incident{ClosedAt: noon().Add(time.Hour), ClosedBy: "cli:bob", Outcome: "rotated"}
	w.must(w.CloseIncident(w.Context(), i.ID, end, w.note("incident.close", i.ID)))
	w.wantConflict(w.CloseIncident(w.Context(), i.ID, end))
	w.wantNotFound(w.CloseIncident(w.Context(), "inc_none", end), "incident")
	i.ClosedAt, i.ClosedBy, i.Outcome = end.ClosedAt, end.ClosedBy, end.Outcome
	list, err := w.ListIncidents(w.Context(), "")
	w.must(err)
	w.wantSame("incidents", list, []billing.Incident{i})
	other := i
	other.ID, other.KeyID = billing.NewID("inc_"), "key_none"
	w.wantNotFound(w.AddIncident(w.Context(), other), "key")
}
