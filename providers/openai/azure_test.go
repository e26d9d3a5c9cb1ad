package openai_test

import (
	"testing"

	"tallyroute/providers/openai"
	"tallyroute/providers/providertest"
)

func TestAzure(t *testing.T) {
	providertest.Run(t, providertest.Subject{Adapter: openai.Azure(), Dir: "testdata/azure", Update: *update, Skip: map[string]string{
		"stream_reasoning": "Azure OpenAI tells how much a model has thought, not what",
	}})
}

// What is sent upstream is valid according to OpenAI's own schema.
func TestAzureCallsAreValid(t *testing.T) {
	providertest.ValidCalls(t, "testdata/azure", "openai/CreateChatCompletionRequest.schema.json", "/$defs/CreateChatCompletionRequest")
}

// Usage with more cached tokens than the prompt has is left out: there, cached tokens are
// charged in addition to the prompt.
func TestAzureCorpus(t *testing.T) {
	providertest.Corpus(t, openai.Azure(), func(c *providertest.Recorded) bool {
		u := c.Expected.Usage
		return c.API == "azure-chat" && (u == nil || u.Cached <= u.Prompt)
	})
}

func TestAzureEmbeddings(t *testing.T) {
	providertest.Embeddings(t, providertest.Subject{Adapter: openai.Azure(), Dir: "testdata/azure/embeddings", Update: *update})
}

func TestAzureEmbeddingsCorpus(t *testing.T) {
	providertest.EmbeddingCorpus(t, openai.Azure(), func(c *providertest.Recorded) bool { return c.Provider == "azure" })
}
