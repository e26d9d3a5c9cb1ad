package vertex

import (
	"net/http"

	"tallyroute/providers"
	"tallyroute/providers/chat"
)

var (
	_ providers.Embedder = Adapter{}
	_ providers.Batcher  = Adapter{}
)

// InputsPerCall is what Google's models take.
func (a Adapter) InputsPerCall(x providers.Exchange) int64 {
	_, x = a.of(x)
	return a.google.InputsPerCall(x)
}

// EncodeEmbedding writes a call for vectors, which only Google's models make.
func (a Adapter) EncodeEmbedding(x providers.Exchange) (providers.Call, error) {
	_, x = a.of(x)
	return a.google.EncodeEmbedding(x)
}

// DecodeEmbedding reads an answer with vectors.
func (a Adapter) DecodeEmbedding(x providers.Exchange, h http.Header, body []byte) (*chat.Response, error) {
	_, x = a.of(x)
	return a.google.DecodeEmbedding(x, h, body)
}
