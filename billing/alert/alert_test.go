package alert

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
)

var now = time.Date(2026, 11, 16, 0, 0, 0, 0, time.UTC) // half of the month is over

func standing(used, limit billing.Money) billing.BudgetStanding {
	return billing.BudgetStanding{
		Balance: billing.Balance{
			Budget: billing.Budget{ID: "bud_1", Scope: billing.ScopeTeam, ScopeID: "team_1", Period: billing.PeriodMonth, Money: &limit},
			Window: billing.Window{Start: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)},

			UsedMoney: used,
		},
		Name: "payments", TeamID: "team_1", Team: "payments", Owner: "ann@example.com",
	}
}

func toldOf(b billing.BudgetStanding) map[string]billing.Alert {
	all := make(map[string]billing.Alert)
	for _, a := range OfStanding(b, now) {
		all[string(a.Kind)+a.Data["threshold"]] = a
	}
	return all
}

func TestEveryThresholdThatIsReachedIsTold(t *testing.T) {
	const dollar = billing.Money(1_000_000_000)
	for used, want := range map[billing.Money][]string{
		49 * dollar: nil, 50 * dollar: {"limit50", "forecast"}, 85 * dollar: {"limit50", "limit80", "forecast"},
		100 * dollar: {"limit50", "limit80", "limit100"},
	} {
		got := toldOf(standing(used, 100*dollar))
		if len(got) != len(want) {
			t.Errorf("%s used: %v", used.Short(), got)
		}
		for _, w := range want {
			if _, ok := got[w]; !ok {
				t.Errorf("%s used: no %s", used.Short(), w)
			}
		}
	}
}

func TestTheTextHasLimitUseForecastOwnerAndWhatToDo(t *testing.T) {
	a := toldOf(standing(80_000_000_000, 100_000_000_000))
	for _, want := range []string{`team "payments"`, "$80", "$100", "month"} {
		if !strings.Contains(a["limit80"].Text, want) {
			t.Errorf("%q lacks %s", a["limit80"].Text, want)
		}
	}
	if !strings.Contains(a["forecast"].Text, "$160") || !strings.Contains(a["forecast"].Text, "2026-12-01") {
		t.Errorf("%q", a["forecast"].Text)
	}
	if l := a["limit80"]; l.Owner != "ann@example.com" || l.Team != "payments" || !strings.Contains(l.Remedy, "bud_1") ||
		l.Data["forecast"] != "160000000000" {
		t.Errorf("%+v", l)
	}
}

func TestAlertsOfLimitsSayWhichPartOfTheUseTheyAreFor(t *testing.T) {
	for _, c := range []struct {
		change func(*billing.BudgetStanding)
		want   []string
	}{
		{
			func(*billing.BudgetStanding) {},
			[]string{"The limit per month of team", "At this pace it will be $160", "budgets update bud_1 "},
		},
		{func(b *billing.BudgetStanding) {
			b.Budget.ID, b.Budget.Parent, b.Budget.Part, b.Budget.Named = "bud_1~x", "bud_1", billing.PartModel, "gpt-4o"
		}, []string{`per month of model "gpt-4o" of team "payments"`, "budgets update bud_1 "}},
		{func(b *billing.BudgetStanding) {
			b.Budget.ID, b.Budget.Parent, b.Budget.Part = "bud_1~x", "bud_1", billing.PartEndUser
		}, []string{"per month of one end user of team"}},
		{func(b *billing.BudgetStanding) {
			b.Window = billing.Window{Start: now.Add(-time.Hour), End: now.Add(-time.Hour + time.Minute)}
			b.Budget.Period = billing.PeriodMinute
		}, []string{"per minute of team", "That was until 2026-11-15T23:01:00Z"}},
	} {
		b := standing(80_000_000_000, 100_000_000_000)
		c.change(&b)
		a := toldOf(b)["limit80"]
		for _, want := range c.want {
			if !strings.Contains(a.Text+a.Remedy, want) {
				t.Errorf("%q, %q lacks %s", a.Text, a.Remedy, want)
			}
		}
	}
}

// TestLimitsThatPassWakeNobody: limits that have room again within moments raise no urgent alert.
func TestLimitsThatPassWakeNobody(t *testing.T) {
	most := int64(4)
	b := standing(0, 0)
	b.Budget = billing.Budget{ID: "bud_1", Scope: billing.ScopeKey, ScopeID: "key_1", Period: billing.PeriodConcurrent, Requests: &most}
	b.Window, _ = b.Budget.Window(now)
	b.UsedRequests = 4
	a := toldOf(b)["limit100"]
	if a.Severity != billing.Warning || a.Rearm == 0 || !strings.Contains(a.Text, "4 requests of 4 requests are under way") {
		t.Errorf("%+v", a)
	}
	b.UsedRequests = 0
	e := billing.Event{Kind: billing.EventDenied, At: now, Data: map[string]string{"unit": "requests", "used": "0", "limit": "4"}}
	if d, tell := OfDenied(e, b, now); !tell || d.Claim != a.Claim {
		t.Errorf("a request was refused because four were under way: %v %+v", tell, d)
	}
}

func TestARaiseAndAResetMakeRoomForTheSameAlert(t *testing.T) {
	base := standing(50_000_000_000, 100_000_000_000)
	raised, reset := standing(100_000_000_000, 200_000_000_000), base
	reset.Forgiven.Money = 50_000_000_000
	next := base
	next.Window.Start, next.Window.End = next.Window.End, next.Window.End.AddDate(0, 1, 0)
	claims := map[string]bool{}
	for _, b := range []billing.BudgetStanding{base, base, raised, reset, next} {
		claims[toldOf(b)["limit50"].Claim] = true
	}
	if len(claims) != 4 {
		t.Errorf("claims: %v", claims)
	}
}

func TestARefusalOfANearlyUsedLimitIsTheThresholdOfAll(t *testing.T) {
	const limit = 100_000_000_000
	denied := func(used, of string) billing.Event {
		return billing.Event{
			Kind: billing.EventDenied, Object: "key_1", At: now.Add(-time.Minute),
			Data: map[string]string{"budget_id": "bud_1", "unit": "usd", "used": used, "limit": of},
		}
	}
	full := toldOf(standing(limit, limit))["limit100"]
	for name, e := range map[string]billing.Event{"posted": denied("0", "1"), "not posted yet": denied("99700000000", "100000000000")} {
		b := standing(99_700_000_000, limit)
		if name != "posted" {
			b = standing(80_000_000_000, limit)
		}
		a, tell := OfDenied(e, b, now)
		if !tell || a.Claim != full.Claim || a.Severity != billing.Critical || !strings.Contains(a.Title, "used up") ||
			!strings.Contains(a.Text, "refused") || a.Owner != full.Owner {
			t.Errorf("%s: %v %+v, want the claim %s", name, tell, a, full.Claim)
		}
	}
	early, tokens, quiet := denied("99700000000", "100000000000"), denied("0", "1"), standing(99_700_000_000, limit)
	early.At, tokens.Data["unit"], quiet.Budget.Thresholds = now.AddDate(0, -1, 0), "tokens", []int{50, 80}
	for name, c := range map[string]struct {
		e billing.Event
		b billing.BudgetStanding
	}{
		"a large request": {denied("80000000000", "100000000000"), standing(80_000_000_000, limit)},
		"before a raise":  {denied("99700000000", "100000000000"), standing(99_700_000_000, 2*limit)},
		"another window":  {early, standing(99_700_000_000, limit)}, "another limit": {tokens, standing(99_700_000_000, limit)},
		"nobody wants it": {denied("0", "1"), quiet}, "no budget": {denied("0", "1"), billing.BudgetStanding{}},
	} {
		if a, tell := OfDenied(c.e, c.b, now); tell {
			t.Errorf("%s was told: %+v", name, a)
		}
	}
}

func TestTitlesOfThresholdsDoNotContradictWhatIsUsed(t *testing.T) {
	b := standing(62_000_000_000, 100_000_000_000)
	b.Budget.Thresholds = []int{10}
	a := toldOf(b)["limit10"]
	if !strings.HasPrefix(a.Title, "Use of a limit has reached 10 %") || !strings.Contains(a.Text, "62 %") {
		t.Errorf("%q: %q", a.Title, a.Text)
	}
}

func TestEventsAreToldAsKindsThatChannelsCanChoose(t *testing.T) {
	for _, k := range billing.EventKinds() {
		a, tell := OfEvent(billing.Event{Kind: k, Object: "key_1", Severity: billing.Critical}, Owner{})
		if tell && (!slices.Contains(Kinds(), a.Kind) || a.Title == "Something wants attention") {
			t.Errorf("%s: %+v", k, a)
		}
	}
}

func TestAZeroLimitIsNotTold(t *testing.T) {
	if got := toldOf(standing(0, 0)); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestWhatManyRequestsCauseIsToldOnceADay(t *testing.T) {
	claims := map[string]bool{}
	for i, at := range []time.Time{now, now.Add(time.Hour), now.Add(25 * time.Hour)} {
		e := billing.Event{
			Kind: billing.EventOverrun, Object: "req_" + string(rune('a'+i)), Severity: billing.Warning, At: at, DedupID: at.String(),
			Data: map[string]string{"key_id": "key_1"},
		}
		a, tell := OfEvent(e, Owner{Name: "checkout"})
		if !tell || a.Object != "key_1" {
			t.Fatalf("%v %+v", tell, a)
		}
		claims[a.Claim] = true
	}
	if len(claims) != 2 {
		t.Errorf("%v", claims)
	}
	for _, kind := range []billing.EventKind{billing.EventDenied, billing.EventAnomaly, billing.EventSecret} {
		if _, tell := OfEvent(billing.Event{Kind: kind, Severity: billing.Info}, Owner{}); tell {
			t.Errorf("%s of little weight was told", kind)
		}
	}
}

func TestOwnersAreToldOfWhatBecomesOfTheirKeys(t *testing.T) {
	owner := Owner{Name: "checkout", Address: "ann@example.com", TeamID: "team_1"}
	a, tell := OfChange(billing.Change{Seq: 7, Action: "key.revoke", Object: "key_1", Actor: "cli:bob", Reason: "leaked"}, owner)
	if !tell || a.Owner != owner.Address || !strings.Contains(a.Text, "cli:bob") || !strings.Contains(a.Text, "leaked") {
		t.Errorf("%v %+v", tell, a)
	}
	for _, c := range []billing.Change{{Action: "team.change"}, {Action: "key.revoke", Outcome: billing.OutcomeDenied}} {
		if a, tell := OfChange(c, owner); tell {
			t.Errorf("%+v", a)
		}
	}
}

func TestExpiryIsToldTwice(t *testing.T) {
	claims := map[string]bool{}
	for left := 20 * day; left > 0; left -= day {
		if a, tell := OfExpiry(billing.Expiry{What: "key", ID: "key_1", At: now.Add(left)}, now); tell {
			claims[strings.SplitN(a.Claim, ":", 4)[2]] = true
		}
	}
	if len(claims) != 2 || !claims["14"] || !claims["3"] {
		t.Errorf("%v", claims)
	}
}

func TestAlertsGoWhereTheyBelong(t *testing.T) {
	quiet, err := ParseQuiet("22:00-07:00 Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	channels := []Channel{
		{Name: "all"},
		{Name: "payments", Teams: []string{"payments"}},
		{Name: "loud", Least: billing.Critical},
		{Name: "limits", Kinds: []billing.AlertKind{Limit}},
		{Name: "owners", Owners: true},
		{Name: "quiet", Quiet: quiet},
	}
	night := time.Date(2026, 11, 16, 23, 0, 0, 0, time.UTC)
	a := billing.Alert{Kind: Limit, Severity: billing.Warning, TeamID: "team_1", Team: "payments"}
	for name, c := range map[string]struct {
		alert billing.Alert
		want  map[string]time.Time
	}{
		"warning": {a, map[string]time.Time{
			"all": night, "payments": night, "limits": night, "quiet": time.Date(2026, 11, 17, 6, 0, 0, 0, time.UTC),
		}},
		"critical": {
			billing.Alert{Kind: Provider, Severity: billing.Critical, Owner: "a@b"},
			map[string]time.Time{"all": night, "loud": night, "owners": night, "quiet": night},
		},
	} {
		got := map[string]time.Time{}
		for _, to := range Route(c.alert, channels, night) {
			got[to.Channel] = to.Due
		}
		if !maps.EqualFunc(got, c.want, time.Time.Equal) {
			t.Errorf("%s goes to %v, want %v", name, got, c.want)
		}
	}
	for _, bad := range []string{"22:00", "22:00-25:00", "22:00-22:00", "22:00-07:00 Nowhere", "x"} {
		if _, err := ParseQuiet(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// TestQuietHoursEndByTheClock: across midnight, on the night when an hour is skipped, and on
// the night when one is repeated.
func TestQuietHoursEndByTheClock(t *testing.T) {
	for _, c := range []struct{ quiet, now, end string }{
		{"22:00-07:00 Europe/Berlin", "2026-11-30T20:59:00Z", "2026-11-30T20:59:00Z"},
		{"22:00-07:00 Europe/Berlin", "2026-11-30T21:00:30Z", "2026-12-01T06:00:00Z"},
		{"22:00-07:00 Europe/Berlin", "2026-12-01T05:59:59Z", "2026-12-01T06:00:00Z"},
		{"12:00-13:00", "2026-12-01T12:30:00Z", "2026-12-01T13:00:00Z"},
		{"22:00-07:00 Europe/Berlin", "2026-03-28T22:00:00Z", "2026-03-29T05:00:00Z"},
		{"00:00-02:30 Europe/Berlin", "2026-03-29T00:45:00Z", "2026-03-29T01:00:00Z"}, // 02:00 is followed by 03:00
		{"00:00-02:30 Europe/Berlin", "2026-10-25T00:15:00Z", "2026-10-25T00:30:00Z"},
		{"00:00-02:30 Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-25T01:30:00Z"}, // the second time
		{"22:00-07:00 Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T06:00:00Z"},
	} {
		q, err := ParseQuiet(c.quiet)
		if err != nil {
			t.Fatal(err)
		}
		now, _ := time.Parse(time.RFC3339, c.now)
		if got := q.after(now).UTC().Format(time.RFC3339); got != c.end {
			t.Errorf("%s at %s: until %s, want %s", c.quiet, c.now, got, c.end)
		}
	}
}
