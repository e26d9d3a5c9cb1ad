package azure_test

import (
	"testing"

	"tallyroute/providers/azure"
	"tallyroute/providers/providertest"
)

func TestEmbeddings(t *testing.T) {
	providertest.Embeddings(t, providertest.Subject{Adapter: azure.New(), Dir: "testdata/embeddings", Update: *update})
}

func TestEmbeddings_Corpus(t *testing.T) {
	providertest.EmbeddingCorpus(t, azure.New(), func(c *providertest.Recorded) bool { return c.Provider == "azure" })
}
