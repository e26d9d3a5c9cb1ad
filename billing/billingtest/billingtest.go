// Package billingtest says what a billing.Store must do, as tests. Each store
// runs all of them, so that the databases differ in nothing that a caller can
// see. What only one database has, such as its triggers, is tested beside it.
package billingtest

import (
	"testing"
	"time"
	_ "time/tzdata" // budgets and reports have zones, on every machine

	"tallyroute/billing"
)

// Open makes a fresh, empty, migrated store that reports in the given zone and
// is closed when the test ends.
type Open func(t *testing.T, reporting *time.Location) billing.Store

// Run tests a store. Times that are compared have whole microseconds, which is
// what every database keeps.
func Run(t *testing.T, open func(t *testing.T, reporting *time.Location) billing.Store) {
	groups := []struct {
		name  string
		cases map[string]func(w *world)
	}{
		{"Store", storeCases()},
		{"Keys", keyCases()},
		{"Owners", ownerCases()},
		{"Holds", holdCases()},
		{"Settle", settleCases()},
		{"Allowances", allowanceCases()},
		{"Windows", windowCases()},
		{"Budgets", budgetCases()},
		{"Rows", rowCases()},
		{"Reports", reportCases()},
		{"Books", bookCases()},
		{"Replays", replayCases()},
		{"Races", raceCases()},
		{"Random", randomCases()},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for name, test := range g.cases {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					test(newWorld(t, open))
				})
			}
		})
	}
}
