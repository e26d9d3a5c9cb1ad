package gemini_test

import (
	"flag"
	"strings"
	"testing"
	"time"

	"tallyroute/providers"
	"tallyroute/providers/gemini"
	"tallyroute/providers/providertest"
)

var update = flag.Bool("update", false, "rewrite what the adapter made of the exchanges in testdata")

// adapter returns the adapter for the Gemini API with a stopped clock.
func adapter() providers.Adapter {
	return gemini.At(gemini.Host{Models: "/models/", Now: func() time.Time { return time.Unix(1767225600, 0) }})
}

func TestAdapter(t *testing.T) {
	providertest.Run(t, providertest.Subject{Adapter: adapter(), Dir: "testdata", Update: *update})
}

func TestCorpus(t *testing.T) {
	providertest.Corpus(t, adapter(), func(c *providertest.Recorded) bool {
		return c.Family == "gemini" && strings.Contains(c.API, "enerateContent") || c.Family == "gemini" &&
			strings.Contains(c.API, "stream")
	})
}

// What is sent upstream is valid by the provider's own schema.
func TestCallsAreValid(t *testing.T) {
	providertest.ValidCalls(t, "testdata", "gemini/gemini-native.openapi.json", "/components/schemas/GenerateContentRequest")
}
