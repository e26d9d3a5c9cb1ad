package cohere

import (
	"fmt"
	"iter"
	"net/http"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

const embedPath = "/v2/embed"

// embeddings is the codec for embeddings.
type embeddings struct{ completions }

// InputsPerCall returns the limit of Cohere's API.
func (embeddings) InputsPerCall(providers.Exchange) int64 { return 96 }

// Encode writes an embed call. Cohere requires the purpose of the texts; by default they are
// documents to be searched. The format is documented at https://docs.cohere.com/reference/embed.
func (embeddings) Encode(x providers.Exchange) (providers.Call, error) {
	texts, err := providers.Texts(x.Request)
	if err != nil {
		return providers.Call{}, err
	}
	var o jsonraw.Object
	o.Text("model", x.Target.Upstream)
	o.Raw("texts", jsonraw.Array(texts))
	o.Text("input_type", purpose(x.Request))
	o.Raw("embedding_types", []byte(`["float"]`))
	if n := x.Request.Dimensions(); n > 0 {
		o.Int("output_dimension", n)
	}
	o.Raw("truncate", jsonraw.Present(x.Request.Get("truncate")))
	call := providers.Call{Path: embedPath, Body: o.Bytes(), Dropped: providers.Unread(x.Request, "input_type", "truncate")}
	if before, ok := strings.CutSuffix(x.Target.Quirks.Path, "/chat"); ok {
		call.Path = before + "/embed"
	}
	return call, nil
}

// purpose returns what the texts of a request are for, in Cohere's terms.
func purpose(r *chat.Request) string {
	switch p := providers.PurposeOf(r); p {
	case "", providers.ToBeFound:
		return "search_document"
	case providers.ToFind:
		return "search_query"
	default:
		return string(p)
	}
}

// Decode reads a response with embedding vectors.
func (embeddings) Decode(x providers.Exchange, _ http.Header, body []byte) (*chat.Response, error) {
	var c translate.Counter
	n := c.At(body, "meta", "billed_units", "input_tokens")
	v := chat.Vectors{ID: jsonraw.Text(jsonraw.Lookup(body, "id")), Model: x.Target.Upstream, List: floats(body)}
	if c.Found {
		v.Usage = &chat.Usage{Input: n, Invalid: c.Invalid}
	}
	r, err := v.Response(x.Request)
	if err != nil {
		if d, ok := chat.ParseError(body); ok && d.Message != "" {
			return nil, failure(0, body)
		}
		return nil, &providers.Error{Kind: providers.KindBroken, Err: fmt.Errorf("cohere: %w", err)}
	}
	return r, nil
}

// floats returns the vectors of a response, which are keyed by type or, if no type was
// requested, on their own.
func floats(body []byte) iter.Seq[[]byte] {
	list := jsonraw.Lookup(body, "embeddings")
	if jsonraw.IsObject(list) {
		list = jsonraw.Lookup(list, "float")
	}
	return jsonraw.Elements(list)
}
