package anthropic_test

import (
	"flag"
	"testing"
	"time"

	"tallyroute/providers/anthropic"
	"tallyroute/providers/providertest"
)

var update = flag.Bool("update", false, "rewrite what the adapter made of the exchanges in testdata")

// fixed is the adapter with a clock that stands.
func fixed() anthropic.Adapter {
	return anthropic.At(anthropic.Host{Now: func() time.Time { return time.Unix(1_767_225_600, 0) }})
}

func TestAdapter(t *testing.T) {
	providertest.Run(t, providertest.Subject{Adapter: fixed(), Dir: "testdata", Update: *update})
}
