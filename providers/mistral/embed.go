package mistral

import (
	"maps"
	"net/http"
	"slices"

	"tallyroute/providers"
	"tallyroute/providers/chat"
)

var _ providers.Embedder = Adapter{}

// EncodeEmbedding is that of the format, with another name for the dimensions and
// without what Mistral refuses. Source: the OpenAPI file of its platform,
// EmbeddingRequest.
func (a Adapter) EncodeEmbedding(x providers.Exchange) (providers.Call, error) {
	if _, err := providers.Texts(x.Request); err != nil {
		return providers.Call{}, err
	}
	q := x.Target.Quirks
	rename := map[string]string{"dimensions": "output_dimension"}
	maps.Copy(rename, q.Rename)
	q.Rename = rename
	q.Drop = slices.Concat(q.Drop, providers.Unread(x.Request, "metadata", "output_dimension", "output_dtype"))
	x.Target.Quirks = q
	return a.format.EncodeEmbedding(x)
}

// DecodeEmbedding is that of the format.
func (a Adapter) DecodeEmbedding(x providers.Exchange, h http.Header, body []byte) (*chat.Response, error) {
	return a.format.DecodeEmbedding(x, h, body)
}
