package vertex_test

import (
	"testing"

	"tallyroute/providers/providertest"
	"tallyroute/providers/vertex"
)

func TestEmbeddings(t *testing.T) {
	providertest.Embeddings(t, providertest.Subject{Adapter: vertex.New(), Dir: "testdata/embeddings", Update: *update})
}

func TestEmbeddings_Corpus(t *testing.T) {
	providertest.EmbeddingCorpus(t, vertex.New(), func(c *providertest.Recorded) bool { return c.Provider == "vertex" })
}
