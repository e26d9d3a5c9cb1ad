package vertex_test

import (
	"flag"
	"strings"
	"testing"
	"time"

	"tallyroute/providers"
	"tallyroute/providers/providertest"
	"tallyroute/providers/vertex"
)

var update = flag.Bool("update", false, "rewrite what the adapter made of the exchanges in testdata")

// adapter returns the adapter with a stopped clock.
func adapter() providers.Adapter {
	return vertex.At(func() time.Time { return time.Unix(1767225600, 0) })
}

func TestAdapter(t *testing.T) {
	providertest.Run(t, providertest.Subject{Adapter: adapter(), Dir: "testdata", Update: *update})
}

func TestCorpus(t *testing.T) {
	providertest.Corpus(t, adapter(), func(c *providertest.Recorded) bool {
		if c.Provider == "vertex" && c.Family == "anthropic-messages" {
			c.ID = "anthropic/" + c.ID // how the adapter recognises Claude
			return true
		}
		return c.Provider == "vertex" && c.Family == "gemini" && !strings.Contains(c.API, "count")
	})
}
