package cohere_test

import (
	"testing"

	"tallyroute/providers/cohere"
	"tallyroute/providers/providertest"
)

func TestEmbeddings(t *testing.T) {
	providertest.Embeddings(t, providertest.Subject{Adapter: cohere.New(), Dir: "testdata/embeddings", Update: *update})
}

func TestEmbeddings_Corpus(t *testing.T) {
	providertest.EmbeddingCorpus(t, cohere.New(), func(c *providertest.Recorded) bool { return c.Family == "cohere-embed" })
}
