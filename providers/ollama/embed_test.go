package ollama_test

import (
	"testing"

	"tallyroute/providers/ollama"
	"tallyroute/providers/providertest"
)

func TestEmbeddings(t *testing.T) {
	providertest.Embeddings(t, providertest.Subject{Adapter: ollama.New(), Dir: "testdata/embeddings", Update: *update})
}

func TestEmbeddings_Corpus(t *testing.T) {
	providertest.EmbeddingCorpus(t, ollama.New(), func(c *providertest.Recorded) bool { return c.Family == "ollama-embed" })
}
