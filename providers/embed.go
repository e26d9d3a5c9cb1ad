package providers

import (
	"errors"
	"net/http"

	"tallyroute/providers/chat"
)

// Embedder is an Adapter that can ask for embeddings, too. It has the obligations
// of an Adapter; Fail of that reads failed calls of both.
type Embedder interface {
	Adapter
	// EncodeEmbedding writes the upstream call for x, whose request is one for embeddings.
	EncodeEmbedding(x Exchange) (Call, error)
	// DecodeEmbedding reads an answer with a 2xx status. Its Body is in the OpenAI
	// format and has one vector for each input, in their order and in the encoding
	// that the client asked for.
	DecodeEmbedding(x Exchange, h http.Header, body []byte) (*chat.Response, error)
}

// CanEmbed reports whether t makes vectors and its adapter knows how to ask for them.
func (t Target) CanEmbed() bool {
	_, ok := t.Adapter.(Embedder)
	return ok && t.Can.Embeddings
}

var errNoEmbedder = errors.New("providers: the adapter cannot ask for embeddings")

// encode writes the call of whatever kind of request it is.
func encode(x Exchange) (Call, error) {
	if !x.Request.Needs().Embeddings {
		return x.Target.Adapter.Encode(x)
	}
	e, ok := x.Target.Adapter.(Embedder)
	if !ok {
		return Call{}, errNoEmbedder
	}
	return e.EncodeEmbedding(x)
}

// decode reads a whole answer to whatever kind of request it is.
func decode(x Exchange, h http.Header, body []byte) (*chat.Response, error) {
	if e, ok := x.Target.Adapter.(Embedder); ok && x.Request.Needs().Embeddings {
		return e.DecodeEmbedding(x, h, body)
	}
	return x.Target.Adapter.Decode(x, body)
}
