package integrity

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"tallyroute/billing"
)

// Moment is the usage of one ledger row or, in an archived month, of several rows from
// the same quarter of an hour.
type Moment struct {
	KeyID, ProjectID, TeamID string
	At                       time.Time
	Used                     billing.Amount
	Limits                   []string // ids of the part budgets that it counts towards
}

// Tally adds up moments for every counter of every budget, in one pass.
type Tally struct {
	budgets map[billing.Scope]map[string][]string // budget ids by scope and scope id
	windows map[string][]counted                  // by budget id, ordered by start
	parts   map[string]bool                       // whether a budget covers a part, by budget id
	newest  time.Time                             // time of the latest moment
}

type counted struct {
	billing.Window
	used, is billing.Amount
	last     time.Time // the latest end among this window and those before it; zero means never
}

// NewTally returns a tally for these counters. Their balances are what Judge compares
// the sums with.
func NewTally(counters []billing.Balance) *Tally {
	t := &Tally{budgets: make(map[billing.Scope]map[string][]string), windows: make(map[string][]counted), parts: make(map[string]bool)}
	for _, c := range counters {
		b := c.Budget
		if t.windows[b.ID] == nil && b.Part == "" {
			of := t.budgets[b.Scope]
			if of == nil {
				of = make(map[string][]string)
				t.budgets[b.Scope] = of
			}
			of[b.ScopeID] = append(of[b.ScopeID], b.ID)
		}
		t.parts[b.ID] = b.Part != ""
		t.windows[b.ID] = append(t.windows[b.ID], counted{Window: c.Window, is: c.Used()})
	}
	for _, list := range t.windows {
		slices.SortFunc(list, func(a, b counted) int { return a.Start.Compare(b.Start) })
		// Windows of one budget overlap only if its period was changed.
		for i := range list {
			list[i].last = list[i].End
			if i > 0 && !list[i].last.IsZero() && (list[i-1].last.IsZero() || list[i-1].last.After(list[i].last)) {
				list[i].last = list[i-1].last
			}
		}
	}
	return t
}

// Add counts a moment towards every budget that applies to it.
func (t *Tally) Add(m Moment) {
	if m.At.After(t.newest) {
		t.newest = m.At
	}
	t.addTo(billing.ScopeKey, m.KeyID, m)
	t.addTo(billing.ScopeProject, m.ProjectID, m)
	t.addTo(billing.ScopeTeam, m.TeamID, m)
	t.addTo(billing.ScopeOrg, "org", m)
	for _, budget := range m.Limits {
		t.addToBudget(budget, m)
	}
}

func (t *Tally) addTo(scope billing.Scope, id string, m Moment) {
	for _, budget := range t.budgets[scope][id] {
		t.addToBudget(budget, m)
	}
}

func (t *Tally) addToBudget(budget string, m Moment) {
	windows := t.windows[budget]
	after, _ := slices.BinarySearchFunc(windows, m.At, func(w counted, at time.Time) int {
		if w.Start.After(at) {
			return 1
		}
		return -1
	})
	for i := after - 1; i >= 0 && windows[i].reaches(m.At); i-- {
		if windows[i].Contains(m.At) {
			windows[i].used = windows[i].used.Plus(m.Used)
		}
	}
}

// reaches reports whether w or any window before it ends after t.
func (w counted) reaches(t time.Time) bool { return w.last.IsZero() || t.Before(w.last) }

// Judge checks the law that every counter agrees with the ledger, within the range that
// a counter can represent.
func (t *Tally) Judge() billing.Law {
	l := billing.Law{Name: "counters", Says: "what a budget has used in a window is the sum of the rows in it"}
	for _, budget := range slices.Sorted(maps.Keys(t.windows)) {
		for _, w := range t.windows[budget] {
			if used := w.used.AsUsed(); used != w.is && (!t.archived(budget, w) || !w.is.Covers(used)) {
				l.Add(billing.Breach{
					Where:    fmt.Sprintf("budget_counters: budget %s, window from %s", budget, from(w.Window)),
					Expected: amountOf(used), Found: amountOf(w.is),
				})
			}
		}
	}
	return l
}

// archived reports whether w belongs to a part budget and some of its rows may be gone:
// archived months no longer record parts.
func (t *Tally) archived(budget string, w counted) bool {
	month := time.Date(t.newest.Year(), t.newest.Month(), 1, 0, 0, 0, 0, time.UTC)
	return t.parts[budget] && w.Start.Before(month)
}

func from(w billing.Window) string {
	if w.Start.IsZero() {
		return "always"
	}
	return w.Start.UTC().Format(time.RFC3339)
}

func amountOf(a billing.Amount) string {
	return fmt.Sprintf("%d tokens, $%s and %d requests", a.Tokens, a.Money, a.Requests)
}
