package postgres_test

import (
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest"
)

func TestStore(t *testing.T) {
	billingtest.Run(t, func(t *testing.T, reporting *time.Location) billing.Store {
		o := patient
		o.Reporting, o.Overrun = reporting, billing.DefaultOverrunLimit()
		s, _ := open(t, o)
		return s.Contracts()
	})
}
