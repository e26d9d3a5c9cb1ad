package mistral_test

import (
	"flag"
	"slices"
	"testing"

	"tallyroute/providers/mistral"
	"tallyroute/providers/providertest"
)

var update = flag.Bool("update", false, "rewrite what the adapter made of the exchanges in testdata")

func TestAdapter(t *testing.T) {
	providertest.Run(t, providertest.Subject{Adapter: mistral.New(), Dir: "testdata", Update: *update})
}

// What goes upstream is valid by the provider's own schema.
func TestCallsAreValid(t *testing.T) {
	providertest.ValidCalls(t, "testdata", "mistral/openapi.yaml", "/components/schemas/ChatCompletionRequest")
}

// Audio is left out: it is counted beside the prompt, and charged with it.
func TestCorpus(t *testing.T) {
	providertest.Corpus(t, mistral.New(), func(c *providertest.Recorded) bool {
		return c.API == "mistral-chat" && !slices.Contains(c.Features, "audio_in")
	})
}
