package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"tallyroute/billing/billingtest"
)

func TestRepriceInAnotherZone(t *testing.T) {
	zone, err := time.LoadLocation("Pacific/Auckland")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tallyroute.db")
	before, after := open(t, path, Options{}), open(t, path, Options{Reporting: zone})
	billingtest.RepriceInAnotherZone(t, before.Contracts(), after.Contracts())
}
