package providers

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
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

// Batcher is an Embedder that takes only so many inputs at once.
type Batcher interface {
	// InputsPerCall is how many inputs one call for x may have; 0 is any number.
	InputsPerCall(x Exchange) int64
}

// Purpose is what the texts of a request for embeddings are for, which many models
// must know. It is one of the constants, or in the words of the client, in small
// letters: "clustering", "classification", …
type Purpose string

// The purposes that providers have different words for.
const (
	ToFind    Purpose = "query"    // a question that is asked of texts
	ToBeFound Purpose = "document" // a text that is searched
)

// PurposeOf is the member input_type of a request, "" where there is none.
func PurposeOf(r *chat.Request) Purpose {
	switch word := strings.ToLower(jsonraw.Text(r.Get("input_type"))); word {
	case "query", "search_query", "retrieval_query":
		return ToFind
	case "document", "passage", "search_document", "retrieval_document":
		return ToBeFound
	default:
		return Purpose(word)
	}
}

// Texts are the inputs of a request for embeddings, each as a JSON string. It is
// a *chat.FieldError where they are tokens, which only the model's own provider
// could read.
func Texts(r *chat.Request) ([][]byte, error) {
	if r.TokenInput() {
		return nil, &chat.FieldError{Code: "unsupported_parameter", Param: "input", Message: "must be texts: this model does not take tokens"}
	}
	return slices.Collect(r.Inputs()), nil
}

// Unread are the members of a request for embeddings that say something and are
// not among those that an adapter has read; they are lost.
func Unread(r *chat.Request, read ...string) (lost []string) {
	for name, value := range r.Members() {
		switch n := string(name); {
		case n == "model" || n == "input" || n == "dimensions" || n == "encoding_format":
		case string(value) != "null" && !slices.Contains(read, n):
			lost = append(lost, n)
		}
	}
	return lost
}
