package alert

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"tallyroute/billing"
)

// meter is one quantity that a budget limits.
type meter struct {
	unit                  string
	limit, used, forecast int64
	paced                 bool // whether there is a forecast
	forgiven              int64
	text                  func(int64) string
}

func meters(b billing.BudgetStanding, now time.Time) (all []meter) {
	f, method := b.Forecast(now)
	paced := method == billing.ForecastLinear && steady(b.Window, now)
	if l := b.Budget.Money; l != nil && *l > 0 {
		dollars := func(n int64) string { return "$" + billing.Money(n).Short() }
		all = append(all, meter{"usd", int64(*l), int64(b.UsedMoney), int64(f.Money), paced, int64(b.Forgiven.Money), dollars})
	}
	if l := b.Budget.Tokens; l != nil && *l > 0 {
		count := func(n int64) string { return strconv.FormatInt(n, 10) + " tokens" }
		all = append(all, meter{"tokens", *l, b.UsedTokens, f.Tokens, paced, b.Forgiven.Tokens, count})
	}
	if l := b.Budget.Requests; l != nil && *l > 0 {
		count := func(n int64) string { return strconv.FormatInt(n, 10) + " requests" }
		all = append(all, meter{"requests", *l, b.UsedRequests, f.Requests, paced, b.Forgiven.Requests, count})
	}
	return all
}

// steady reports whether a window has gone on for long enough that its pace is worth an alert,
// and has not ended.
func steady(w billing.Window, now time.Time) bool {
	return now.Sub(w.Start) >= max(w.End.Sub(w.Start)/10, time.Minute) && !now.After(w.End)
}

// percent returns n as a percentage of the limit.
func (m meter) percent(n int64) int64 {
	p := new(big.Int).Mul(big.NewInt(max(n, 0)), big.NewInt(100))
	if p.Div(p, big.NewInt(m.limit)); p.IsInt64() {
		return p.Int64()
	}
	return math.MaxInt64
}

// OfStanding returns alerts for the thresholds that a budget has reached, and for a
// forecast that it will be used up before it resets. After a raise of the limit or a reset,
// the same alerts can be sent again.
func OfStanding(b billing.BudgetStanding, now time.Time) (all []billing.Alert) {
	for _, m := range meters(b, now) {
		for _, t := range b.Budget.Told() {
			if m.percent(m.used) >= int64(t) {
				all = append(all, ofMeter(b, m, threshold(b, m, t, now), now))
			}
		}
		if m.paced && m.forecast >= m.limit && m.used < m.limit {
			all = append(all, ofMeter(b, m, forecast(b, m), now))
		}
	}
	return all
}

// OfDenied alerts that a budget is effectively used up: it has refused a request, and 95
// per cent of the limit is used. It counts as the threshold of 100 per cent, whichever
// comes first.
func OfDenied(e billing.Event, b billing.BudgetStanding, now time.Time) (billing.Alert, bool) {
	if !b.Window.Concurrent() && !b.Window.Contains(e.At) || !b.Budget.Binds() || !slices.Contains(b.Budget.Told(), 100) {
		return billing.Alert{}, false
	}
	for _, m := range meters(b, now) {
		if m.unit != e.Data["unit"] {
			continue
		}
		if e.Data["limit"] == strconv.FormatInt(m.limit, 10) { // recent usage may not have been posted yet
			used, _ := strconv.ParseInt(e.Data["used"], 10, 64)
			if m.used = max(m.used, used); b.Window.Concurrent() {
				m.used = m.limit // when the request was refused
			}
		}
		if billing.NearlyUsed(m.used, m.limit) {
			return ofMeter(b, m, threshold(b, m, 100, now), now), true
		}
	}
	return billing.Alert{}, false
}

// threshold alerts that a share of a limit has been used.
func threshold(b billing.BudgetStanding, m meter, percent int, now time.Time) billing.Alert {
	a := billing.Alert{
		Kind: Limit, Severity: billing.Info, Title: fmt.Sprintf("Use of a limit has reached %d %%", percent),
		Data: map[string]string{"threshold": strconv.Itoa(percent)},
		Text: fmt.Sprintf("%s of %s %s, which is %d %%.", m.text(m.used), m.text(m.limit), m.verb(b), m.percent(m.used)),
	}
	switch {
	case percent >= 100:
		a.Severity, a.Title = billing.Critical, "A limit is used up"
	case percent >= 80:
		a.Severity = billing.Warning
	}
	if b.Budget.Period.Passes() { // there is room again within moments
		a.Severity = billing.Info
		if percent >= 100 {
			a.Severity = billing.Warning
		}
	}
	switch {
	case b.Window.Over(now):
		a.Text += fmt.Sprintf(" That was until %s, when it was reset.", b.Window.End.UTC().Format(time.RFC3339))
	case percent < 100 || !b.Budget.Binds():
	case m.used < m.limit:
		a.Text += " Requests for which the rest is not enough are refused."
	default:
		a.Text += " Further requests are refused."
	}
	if m.paced && m.used < m.limit {
		a.Text += " " + m.pace(b)
	}
	return a
}

// verb returns the verb for the amount in an alert: used, or under way.
func (m meter) verb(b billing.BudgetStanding) string {
	switch {
	case b.Window.Concurrent():
		return "are under way"
	case m.unit == "usd":
		return "is used"
	}
	return "are used"
}

// pace returns the sentence that forecasts the usage.
func (m meter) pace(b billing.BudgetStanding) string {
	return fmt.Sprintf("At this pace it will be %s by %s, when it resets.", m.text(m.forecast), b.Window.End.UTC().Format(time.RFC3339))
}

// forecast alerts that a limit will be used up.
func forecast(b billing.BudgetStanding, m meter) billing.Alert {
	return billing.Alert{
		Kind: Forecast, Severity: billing.Warning, Title: "A limit will not last", Data: map[string]string{},
		Text: fmt.Sprintf("%s of %s %s. %s", m.text(m.used), m.text(m.limit), m.verb(b), m.pace(b)),
	}
}

// ofMeter completes an alert about one limit of a budget.
func ofMeter(b billing.BudgetStanding, m meter, a billing.Alert, now time.Time) billing.Alert {
	id, start := b.Budget.ID, "always"
	switch {
	case b.Window.Concurrent():
		a.Rearm = again
	case !b.Window.Start.IsZero():
		start = b.Window.Start.UTC().Format(time.RFC3339)
	}
	a.Claim = strings.Join([]string{
		string(a.Kind), id, m.unit, cmp.Or(a.Data["threshold"], "all"), start, strconv.FormatInt(m.limit, 10),
		strconv.FormatInt(m.forgiven, 10),
	}, ":")
	whose := holder(b)
	a.Object, a.At, a.TeamID, a.Team, a.Owner = id, now, b.TeamID, b.Team, b.Owner
	a.Title += ": " + whose
	a.Text = fmt.Sprintf("The limit %s%s of %s: %s", per(b.Budget.Period), part(b.Budget), whose, a.Text)
	of := cmp.Or(b.Budget.Parent, id) // names of a part inherit the limit of the part's budget
	a.Remedy = fmt.Sprintf("See what uses it with: tallyroute report spend key model. Raise it with: tallyroute budgets update %s "+
		"--%s AMOUNT, or for a time with: tallyroute budgets raise %s --%s AMOUNT --until TIME --reason TEXT%s.",
		of, m.unit, of, m.unit, resets(b, now))
	a.Data["unit"], a.Data["limit"], a.Data["used"] = m.unit, strconv.FormatInt(m.limit, 10), strconv.FormatInt(m.used, 10)
	if m.paced {
		a.Data["forecast"] = strconv.FormatInt(m.forecast, 10)
	}
	a.Data["budget_id"], a.Data["scope"], a.Data["scope_id"] = id, string(b.Budget.Scope), b.Budget.ScopeID
	a.Data["window_start"], a.Data["period"] = start, string(b.Budget.Period)
	return a
}

func per(p billing.Period) string {
	if p == billing.PeriodOnce {
		return "for once and all"
	}
	return p.Words()
}

// part returns which part of the usage a limit applies to. Names of people are not stored.
func part(b billing.Budget) string {
	if b.Parent != "" && b.Named == "" {
		return strings.Replace(b.PartWords(), " of each ", " of one ", 1)
	}
	return b.PartWords()
}

func resets(b billing.BudgetStanding, now time.Time) string {
	switch {
	case b.Window.Concurrent() || b.Window.Over(now):
		return ""
	case b.Window.End.IsZero():
		return "; it never resets by itself"
	}
	return "; or wait until it resets at " + b.Window.End.UTC().Format(time.RFC3339)
}

// holder names what a budget applies to.
func holder(b billing.BudgetStanding) string {
	if b.Budget.Scope == billing.ScopeOrg {
		return "the organisation"
	}
	return fmt.Sprintf("%s %q", b.Budget.Scope, cmp.Or(b.Name, b.Budget.ScopeID))
}
