// Package billingtest specifies what a billing.Store must do, as tests. Each store runs all
// of them, so that the databases don't differ in anything that a caller can see. What only
// one database has, such as its triggers, is tested alongside it.
package billingtest

import (
	"reflect"
	"testing"
	"time"
	_ "time/tzdata" // budgets and reports have time zones, on every machine

	"tallyroute/billing"
)

// Open makes a fresh, empty, migrated store that reports in the given zone and
// is closed when the test ends. It stops keys by billing.DefaultOverrunLimit.
type Open func(t *testing.T, reporting *time.Location) billing.Store

// Run tests a store. Times that are compared have whole microseconds, the precision that
// every database keeps.
func Run(t *testing.T, open func(t *testing.T, reporting *time.Location) billing.Store) {
	wantContracts(t, open(t, time.UTC))
	run(t, open, []group{
		{name: "Store", cases: storeCases()},
		{name: "Keys", cases: keyCases()},
		{name: "Secrets", cases: secretCases()},
		{name: "Upstreams", cases: upstreamCases()},
		{name: "Owners", cases: ownerCases()},
		{name: "Changes", cases: changeCases()},
		{name: "Access", cases: accessCases()},
		{name: "Holds", cases: holdCases(), anyLimit: true, asWritten: holdsAsWritten},
		{name: "Settle", cases: settleCases(), anyLimit: true, asWritten: settleAsWritten},
		{name: "Allowances", cases: allowanceCases()},
		{name: "Windows", cases: windowCases(), anyLimit: true},
		{name: "Budgets", cases: budgetCases(), anyLimit: true},
		{name: "Rows", cases: rowCases()},
		{name: "Reports", cases: reportCases()},
		{name: "Persons", cases: personCases()},
		{name: "Periods", cases: bookCases()},
		{name: "Claims", cases: replayCases()},
		{name: "Allotments", cases: allotmentCases()},
		{name: "Responses", cases: responseCases()},
		{name: "Races", cases: raceCases(), anyLimit: true},
		{name: "Random", cases: randomCases(), anyLimit: true},
		{name: "Overruns", cases: overrunCases()},
		{name: "Alerts", cases: alertCases()},
		{name: "Members", cases: memberCases()},
		{name: "Governance", cases: governanceCases()},
		{name: "Anomalies", cases: anomalyCases()},
		{name: "Requests", cases: requestCases()},
	})
}

// wantContracts checks that a store, and one that replaces it, implements every contract.
func wantContracts(t *testing.T, s billing.Store) {
	t.Helper()
	for _, s := range []billing.Store{s, billing.Store{}.With(s)} {
		for v, i := reflect.ValueOf(s), 0; i < v.NumField(); i++ {
			if v.Type().Field(i).Anonymous && v.Field(i).IsNil() {
				t.Fatalf("%s is fulfilled by nobody", v.Type().Field(i).Name)
			}
		}
	}
}
