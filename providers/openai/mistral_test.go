package openai_test

import (
	"slices"
	"testing"

	"tallyroute/providers/openai"
	"tallyroute/providers/providertest"
)

func TestMistral(t *testing.T) {
	providertest.Run(t, providertest.Subject{Adapter: openai.Mistral(), Dir: "testdata/mistral", Update: *update})
}

// What goes upstream is valid by the provider's own schema.
func TestMistralCallsAreValid(t *testing.T) {
	providertest.ValidCalls(t, "testdata/mistral", "mistral/openapi.yaml", "/components/schemas/ChatCompletionRequest")
}

// Audio is left out: it is counted beside the prompt, and charged with it.
func TestMistralCorpus(t *testing.T) {
	providertest.Corpus(t, openai.Mistral(), func(c *providertest.Recorded) bool {
		return c.API == "mistral-chat" && !slices.Contains(c.Features, "audio_in")
	})
}

func TestMistralEmbeddings(t *testing.T) {
	providertest.Embeddings(t, providertest.Subject{Adapter: openai.Mistral(), Dir: "testdata/mistral/embeddings", Update: *update})
}

func TestMistralEmbeddingsCorpus(t *testing.T) {
	providertest.EmbeddingCorpus(t, openai.Mistral(), func(c *providertest.Recorded) bool { return c.Provider == "mistral" })
}
