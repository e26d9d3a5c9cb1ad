package postgres_test

import (
	"testing"

	"tallyroute/billing/billingtest"
)

func TestErasureOfRowsWithNames(t *testing.T) {
	s, dsn := open(t, patient)
	c := raw(t, dsn)
	exec(t, c, "SET session_replication_role = replica") // disables triggers
	billingtest.Erasures(t, s.Contracts(), func(sql string) error {
		_, err := c.Exec(t.Context(), sql)
		return err
	})
}
