package mistral_test

import (
	"flag"
	"testing"

	"tallyroute/providers/mistral"
	"tallyroute/providers/providertest"
)

var update = flag.Bool("update", false, "rewrite what the adapter made of the exchanges in testdata")

func TestAdapter(t *testing.T) {
	providertest.Run(t, providertest.Subject{Adapter: mistral.New(), Dir: "testdata", Update: *update})
}
