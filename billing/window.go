package billing

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The maximum of a budget or a rate, in tokens and in money. The databases check the
// same bounds.
const (
	maxLimit             = 1_000_000_000_000_000
	maxMoneyLimit  Money = 1_000_000_000 * NanoPerUSD
	mostThresholds       = 10
)

// Validate reports every fault of b at once: an unknown scope, period or zone, no limit
// at all, and limits that are negative or beyond what the databases can store.
func (b Budget) Validate() error {
	var faults []error
	fault := func(field, format string, args ...any) {
		faults = append(faults, &FieldError{Field: field, Code: "invalid_value", Detail: fmt.Sprintf(format, args...)})
	}
	switch b.Scope {
	case ScopeKey, ScopeProject, ScopeTeam:
	case ScopeOrg:
		if b.ScopeID != "org" {
			fault("scope_id", "of scope org is %q, must be \"org\"", b.ScopeID)
		}
	default:
		fault("scope", "unknown scope %q, must be key, project, team or org", b.Scope)
	}
	if _, _, err := b.Period.at(date{2000, time.January, 1}); err != nil {
		fault("period", "%s", strings.TrimPrefix(err.Error(), "billing: budget: "))
	}
	if _, err := zone(b.Zone); err != nil {
		fault("zone", "%s", strings.TrimPrefix(err.Error(), "billing: budget: "))
	}
	if b.Tokens == nil && b.Money == nil && b.Requests == nil {
		fault("usd", "must be there, or tokens, or requests: it limits none of them")
	}
	if b.Period == PeriodConcurrent && (b.Tokens != nil || b.Money != nil || b.Requests == nil) {
		fault("period", "concurrent limits requests, and neither tokens nor dollars")
	}
	if b.Period == PeriodConcurrent && b.Action == ActionDowngrade {
		fault("action", "downgrade is for limits of what is used, not of what is under way")
	}
	if b.Requests != nil && (*b.Requests < 0 || *b.Requests > maxLimit) {
		fault("requests", "limit of %d requests is not between 0 and %d", *b.Requests, int64(maxLimit))
	}
	if _, err := b.first(); err != nil {
		fault("starts", "%s", err)
	} else if b.Starts != "" && b.Period != PeriodMonth && b.Period != PeriodQuarter && b.Period != PeriodYear {
		fault("starts", "is for months, quarters and years")
	}
	switch b.Action {
	case "", ActionBlock, ActionDowngrade, ActionAlert:
	default:
		fault("action", "unknown action %q, must be block, downgrade or alert", b.Action)
	}
	if b.Action == ActionDowngrade && !slices.ContainsFunc(b.Told(), func(percent int) bool { return percent < 100 }) {
		fault("thresholds", "must have one below 100, from which the cheapest model answers")
	}
	for i, p := range b.Thresholds {
		if p < 1 || p > 1000 || slices.Contains(b.Thresholds[:i], p) || i == mostThresholds {
			fault("thresholds", "must be up to %d different percents from 1 to 1000", mostThresholds)
			break
		}
	}
	b.checkPart(fault)
	if b.Tokens != nil && (*b.Tokens < 0 || *b.Tokens > maxLimit) {
		fault("tokens", "limit of %d tokens is not between 0 and %d", *b.Tokens, int64(maxLimit))
	}
	if b.Money != nil && (*b.Money < 0 || *b.Money > maxMoneyLimit) {
		fault("usd", "limit of $%s is not between 0 and $%s", b.Money.Short(), maxMoneyLimit.Short())
	}
	return errors.Join(faults...)
}

// ThresholdsText returns the thresholds as they are stored: in ascending order.
func (b Budget) ThresholdsText() string {
	text, _ := json.Marshal(append([]int{}, slices.Sorted(slices.Values(b.Told()))...)) // never fails; no thresholds give []
	return string(text)
}

// Window returns the window of b that t falls in, in UTC. It follows the calendar in
// b's zone: a day is a local day, however many hours it has. Windows of one budget
// neither overlap nor leave gaps. A budget that never resets has one window without
// Start or End.
func (b *Budget) Window(t time.Time) (Window, error) {
	switch b.Period {
	case PeriodOnce:
		return Window{}, nil
	case PeriodConcurrent:
		return concurrentWindow, nil
	case PeriodMinute:
		minute := t.UTC().Truncate(time.Minute)
		return Window{Start: minute, End: minute.Add(time.Minute)}, nil
	case PeriodDay, PeriodWeek, PeriodMonth, PeriodQuarter, PeriodYear:
	}
	kind := windowKind{b.Period, b.Zone, b.Starts}
	if w, ok := windows.latest(kind); ok && w.Contains(t) {
		return w, nil
	}
	w, err := b.calendar(t)
	if err == nil {
		windows.remember(kind, w)
	}
	return w, err
}

// windows caches the latest window of each kind of budget, because every request asks for
// the windows of all its budgets.
var windows windowCache

// windowCache is read without a lock and copied when a window is added. There are few kinds.
type windowCache struct {
	all atomic.Pointer[map[windowKind]Window]
}

// windowKind is what the window of an instant depends on.
type windowKind struct {
	period       Period
	zone, starts string
}

func (c *windowCache) latest(kind windowKind) (w Window, ok bool) {
	if all := c.all.Load(); all != nil {
		w, ok = (*all)[kind]
	}
	return w, ok
}

// remember may lose a window that is added at the same time; it is added again by whoever
// needs it next.
func (c *windowCache) remember(kind windowKind, w Window) {
	next := map[windowKind]Window{kind: w}
	if all := c.all.Load(); all != nil {
		next = maps.Clone(*all)
		next[kind] = w
	}
	c.all.Store(&next)
}

// calendar returns the window that t falls in by the calendar.
func (b *Budget) calendar(t time.Time) (Window, error) {
	loc, err := zone(b.Zone)
	if err != nil {
		return Window{}, err
	}
	year, month, day := t.In(loc).Date()
	starts, err := b.first()
	if err != nil {
		return Window{}, err
	}
	first, next, err := b.Period.from(starts, date{year, month, day})
	if err != nil {
		return Window{}, err
	}
	w := Window{Start: first.begin(loc), End: next.begin(loc)}
	// Where clocks are set back across midnight, the new day has begun even though they
	// show the previous day again.
	for !t.Before(w.End) {
		_, next, _ = b.Period.from(starts, next)
		w = Window{Start: w.End, End: next.begin(loc)}
	}
	return w, nil
}

// concurrentWindow is the window for what is in flight at once. It starts in the far
// future, so that nothing is ever used in it: it only has holds.
var concurrentWindow = Window{Start: time.Date(9999, time.January, 1, 0, 0, 0, 0, time.UTC)}

// Concurrent reports whether w is the window for what is in flight at once.
func (w Window) Concurrent() bool { return w == concurrentWindow }

// first returns the first day of the budget's fiscal year.
func (b *Budget) first() (date, error) {
	if b.Starts == "" {
		return date{0, time.January, 1}, nil
	}
	t, err := time.Parse("01-02", b.Starts)
	if err != nil || t.Day() > 28 {
		return date{}, fmt.Errorf("is %q, must be the first day of the fiscal year as MM-DD, of which DD is 01 to 28", b.Starts)
	}
	return date{0, t.Month(), t.Day()}, nil
}

// from is at for a fiscal year that starts on a given day. That day is at most the
// 28th, so that every month has it.
func (p Period) from(starts, d date) (first, next date, err error) {
	if p != PeriodMonth && p != PeriodQuarter && p != PeriodYear {
		return p.at(d)
	}
	months, days := int(starts.month)-1, starts.day-1
	if d = d.add(0, -days); months > 0 {
		d = date{d.year, d.month, 1}.add(-months, 0)
	}
	if first, next, err = p.at(d); err != nil {
		return first, next, err
	}
	return first.add(months, 0).add(0, days), next.add(months, 0).add(0, days), nil
}

// Contains reports whether t is inside w.
func (w Window) Contains(t time.Time) bool {
	return !t.Before(w.Start) && (w.End.IsZero() || t.Before(w.End))
}

// at returns the first date of the period that d is in, and of the next period.
func (p Period) at(d date) (first, next date, err error) {
	switch p {
	case PeriodDay, PeriodMinute:
		return d, d.add(0, 1), nil
	case PeriodWeek:
		monday := d.add(0, -int(d.weekday()+6)%7)
		return monday, monday.add(0, 7), nil
	case PeriodMonth:
		first = date{d.year, d.month, 1}
		return first, first.add(1, 0), nil
	case PeriodQuarter:
		first = date{d.year, d.month - (d.month-1)%3, 1}
		return first, first.add(3, 0), nil
	case PeriodYear:
		return date{d.year, time.January, 1}, date{d.year + 1, time.January, 1}, nil
	case PeriodOnce, PeriodConcurrent:
		return d, d, nil
	}
	return d, d, fmt.Errorf("billing: budget: unknown period %q, must be concurrent, minute, day, week, month, quarter, year or once", p)
}

// date is a calendar day, in no particular zone.
type date struct {
	year  int
	month time.Month
	day   int
}

func (d date) midnight() time.Time {
	return time.Date(d.year, d.month, d.day, 0, 0, 0, 0, time.UTC)
}

func (d date) weekday() time.Weekday { return d.midnight().Weekday() }

func (d date) add(months, days int) date {
	y, m, day := d.midnight().AddDate(0, months, days).Date()
	return date{y, m, day}
}

// begin returns the first instant at which clocks in loc show d or later. It is not
// always midnight: where clocks are put forward at 24:00 the day begins at 01:00, and a
// few dates were skipped altogether. time.Date does not say which side of such a gap it
// returns.
func (d date) begin(loc *time.Location) time.Time {
	wall := d.midnight()
	t := wall.Add(-26 * time.Hour).In(loc) // no zone is further from UTC than this
	for {
		from, to := t.ZoneBounds()
		_, offset := t.Zone()
		begin := wall.Add(-time.Duration(offset) * time.Second)
		if begin.Before(from) {
			begin = from.UTC()
		}
		if !to.IsZero() && !to.After(t) {
			to = t.Add(time.Hour) // ZoneBounds ends far leap years a day early
		}
		if to.IsZero() || begin.Before(to) {
			return begin
		}
		t = to
	}
}

// zones caches the location for each zone name, because loading one costs more than
// everything else here. Only names that exist are stored.
var zones sync.Map // string → *time.Location

// zone loads an IANA zone. "Local" is refused: a budget must not depend on the machine
// that evaluates it.
func zone(name string) (*time.Location, error) {
	if name == "" || name == "UTC" {
		return time.UTC, nil
	}
	if loc, ok := zones.Load(name); ok {
		return loc.(*time.Location), nil
	}
	if name == "Local" {
		return nil, fmt.Errorf("billing: budget: zone %q is not the name of a place", name)
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("billing: budget: %w", err)
	}
	zones.Store(name, loc)
	return loc, nil
}
