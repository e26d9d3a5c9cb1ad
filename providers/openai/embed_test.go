package openai_test

import (
	"testing"

	"tallyroute/providers/openai"
	"tallyroute/providers/providertest"
)

func TestEmbeddings(t *testing.T) {
	providertest.Embeddings(t, providertest.Subject{Adapter: openai.New(), Dir: "testdata/embeddings", Update: *update})
}

func TestEmbeddings_Corpus(t *testing.T) {
	providertest.EmbeddingCorpus(t, openai.New(), func(c *providertest.Recorded) bool {
		return c.Family == "openai-embeddings" && c.Provider != "perplexity"
	})
}
