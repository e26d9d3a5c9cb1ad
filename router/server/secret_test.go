package server

import (
	"crypto/rand"
	"testing"

	"tallyroute/billing"
)

func newSecret(t *testing.T) string {
	t.Helper()
	s, err := billing.NewSecret("dev", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return s.Reveal()
}
