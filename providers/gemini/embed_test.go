package gemini_test

import (
	"testing"

	"tallyroute/providers/gemini"
	"tallyroute/providers/providertest"
)

func TestEmbeddings(t *testing.T) {
	providertest.Embeddings(t, providertest.Subject{Adapter: gemini.New(), Dir: "testdata/embeddings", Update: *update})
}

func TestEmbeddings_Corpus(t *testing.T) {
	providertest.EmbeddingCorpus(t, gemini.New(), func(c *providertest.Recorded) bool {
		return c.Family == "gemini-embed" &&
			c.Provider == "gemini"
	})
}
