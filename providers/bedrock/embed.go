package bedrock

import (
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// embeddings is the codec for embeddings. It uses InvokeModel, since Converse has none.
type embeddings struct{ completions }

// titan reports whether a model is one of Amazon's Titan models, which have a format of
// their own; all others are called in Cohere's format.
func titan(x providers.Exchange) bool { return strings.Contains(x.Target.Upstream, "titan-embed") }

// InputsPerCall returns 1 for Titan, and the limit of Cohere's API for other models.
func (embeddings) InputsPerCall(x providers.Exchange) int64 {
	if titan(x) {
		return 1
	}
	return 96
}

// Encode writes an InvokeModel call. The formats are those in the Bedrock user guide:
// Amazon Titan Text Embeddings, and Cohere Embed.
func (embeddings) Encode(x providers.Exchange) (providers.Call, error) {
	texts, err := providers.Texts(x.Request)
	if err != nil {
		return providers.Call{}, err
	}
	own := []string{"normalize"}
	size := "dimensions"
	var o jsonraw.Object
	if titan(x) {
		o.Raw("inputText", texts[0])
	} else {
		own, size = []string{"truncate", "input_type"}, "output_dimension"
		o.Array("texts", texts)
		o.Text("input_type", purpose(x.Request))
	}
	if n := x.Request.Dimensions(); n > 0 {
		o.Int(size, n)
	}
	o.Raw(own[0], jsonraw.Present(x.Request.Get(own[0])))
	return providers.Call{Path: path(x, "/invoke", "/invoke"), Body: o.Bytes(), Dropped: providers.Unread(x.Request, own...)}, nil
}

// purpose returns what the texts of a request are for, in Cohere's terms. Cohere requires
// it; by default they are documents to be searched.
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

// Decode reads a response with vectors. Titan reports the number of tokens read in the
// body, and every model reports it in a header.
func (embeddings) Decode(x providers.Exchange, h http.Header, body []byte) (*chat.Response, error) {
	v := chat.Vectors{ID: jsonraw.Text(jsonraw.Lookup(body, "id")), Model: x.Target.Upstream, List: vectors(body)}
	for _, count := range []string{string(jsonraw.Lookup(body, "inputTextTokenCount")), h.Get("X-Amzn-Bedrock-Input-Token-Count")} {
		if n, err := strconv.ParseInt(count, 10, 64); err == nil {
			v.Usage = &chat.Usage{Input: max(n, 0), Invalid: n < 0}
			break
		}
	}
	r, err := v.Response(x.Request)
	if err != nil {
		if kind, text := said(nil, body); text != "" {
			return nil, failed(0, kind, text)
		}
		return nil, translate.Broken(fmt.Errorf("bedrock: %w", err))
	}
	return r, nil
}

// vectors returns the vectors of a response: one from Titan, or a list, possibly keyed by type.
func vectors(body []byte) iter.Seq[[]byte] {
	if one := jsonraw.Lookup(body, "embedding"); one != nil {
		return func(yield func([]byte) bool) { yield(one) }
	}
	list := jsonraw.Lookup(body, "embeddings")
	if len(list) > 0 && list[0] == '{' {
		list = jsonraw.Lookup(list, "float")
	}
	return jsonraw.Elements(list)
}
