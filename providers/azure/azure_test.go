package azure_test

import (
	"flag"
	"testing"

	"tallyroute/providers/azure"
	"tallyroute/providers/providertest"
)

var update = flag.Bool("update", false, "rewrite what the adapter made of the exchanges in testdata")

func TestAdapter(t *testing.T) {
	providertest.Run(t, providertest.Subject{Adapter: azure.New(), Dir: "testdata", Update: *update, Skip: map[string]string{
		"stream_reasoning": "Azure OpenAI tells how much a model has thought, not what",
	}})
}

// What goes upstream is valid by OpenAI's own schema.
func TestCallsAreValid(t *testing.T) {
	providertest.ValidCalls(t, "testdata", "openai/CreateChatCompletionRequest.schema.json", "/$defs/CreateChatCompletionRequest")
}

// Usage with more cached tokens than the prompt has is left out: what is cached
// is charged beside the prompt.
func TestCorpus(t *testing.T) {
	providertest.Corpus(t, azure.New(), func(c *providertest.Recorded) bool {
		u := c.Expected.Usage
		return c.API == "azure-chat" && (u == nil || u.Cached <= u.Prompt)
	})
}
