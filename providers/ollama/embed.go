package ollama

import (
	"net/http"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// embeddings is the codec of embeddings.
type embeddings struct{ completions }

// InputsPerCall is any number.
func (embeddings) InputsPerCall(providers.Exchange) int64 { return 0 }

// Encode writes an embed call. The format is documented at
// https://docs.ollama.com/api/embed.
func (embeddings) Encode(x providers.Exchange) (providers.Call, error) {
	texts, err := providers.Texts(x.Request)
	if err != nil {
		return providers.Call{}, err
	}
	var o jsonraw.Object
	o.Text("model", x.Target.Upstream)
	o.Raw("input", jsonraw.Array(texts))
	if n := x.Request.Dimensions(); n > 0 {
		o.Int("dimensions", n)
	}
	own := []string{"truncate", "options", "keep_alive"}
	for _, name := range own {
		o.Raw(name, jsonraw.Present(x.Request.Get(name)))
	}
	return providers.Call{Path: "/api/embed", Body: o.Bytes(), Dropped: providers.Unread(x.Request, own...)}, nil
}

// Decode reads an answer with vectors.
func (embeddings) Decode(x providers.Exchange, _ http.Header, body []byte) (*chat.Response, error) {
	if failed(body) {
		return nil, failure(0, body)
	}
	var c translate.Counter
	n := c.At(body, "prompt_eval_count")
	v := chat.Vectors{Model: x.Target.Upstream, List: jsonraw.Elements(jsonraw.Lookup(body, "embeddings"))}
	if c.Found {
		v.Usage = &chat.Usage{Input: n, Invalid: c.Invalid}
	}
	r, err := v.Response(x.Request)
	if err != nil {
		return nil, translate.Broken(err)
	}
	return r, nil
}
