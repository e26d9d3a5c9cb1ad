package postgres_test

import (
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest"
	"tallyroute/billing/postgres"
)

func TestStore(t *testing.T) {
	billingtest.Run(t, func(t *testing.T, reporting *time.Location) billing.Store {
		o := patient
		o.Reporting = reporting
		s, _ := open(t, o)
		return s
	})
}

// patient waits for as long as a crowded machine may take. Locks are waited for
// longer than PostgreSQL takes to find a deadlock, so that it would be one.
var patient = postgres.Options{Acquire: time.Minute, Statement: time.Minute, Lock: time.Minute}
