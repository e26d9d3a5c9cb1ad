package azure

import (
	"net/http"

	"tallyroute/providers"
	"tallyroute/providers/chat"
)

var _ providers.Embedder = Adapter{}

// EncodeEmbedding is that of the format, for another path.
func (a Adapter) EncodeEmbedding(x providers.Exchange) (providers.Call, error) {
	call, err := a.format.EncodeEmbedding(x)
	if err != nil {
		return providers.Call{}, err
	}
	call.Path = path(x.Target, "/embeddings")
	return call, nil
}

// DecodeEmbedding is that of the format.
func (a Adapter) DecodeEmbedding(x providers.Exchange, h http.Header, body []byte) (*chat.Response, error) {
	r, err := a.format.DecodeEmbedding(x, h, body)
	return r, filtered(err)
}
