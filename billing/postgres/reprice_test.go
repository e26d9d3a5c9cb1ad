package postgres_test

import (
	"testing"
	"time"

	"tallyroute/billing/billingtest"
)

func TestRepriceInAnotherZone(t *testing.T) {
	zone, err := time.LoadLocation("Pacific/Auckland")
	if err != nil {
		t.Fatal(err)
	}
	before, dsn := open(t, patient)
	o := patient
	o.Reporting = zone
	billingtest.RepriceInAnotherZone(t, before.Contracts(), connect(t, dsn, o).Contracts())
}
