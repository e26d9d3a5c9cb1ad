package mistral_test

import (
	"testing"

	"tallyroute/providers/mistral"
	"tallyroute/providers/providertest"
)

func TestEmbeddings(t *testing.T) {
	providertest.Embeddings(t, providertest.Subject{Adapter: mistral.New(), Dir: "testdata/embeddings", Update: *update})
}

func TestEmbeddings_Corpus(t *testing.T) {
	providertest.EmbeddingCorpus(t, mistral.New(), func(c *providertest.Recorded) bool { return c.Provider == "mistral" })
}
