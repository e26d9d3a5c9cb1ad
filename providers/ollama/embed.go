package ollama

import (
	"iter"
	"math"
	"net/http"
	"strconv"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// embeddings is the codec for embeddings.
type embeddings struct{ completions }

// InputsPerCall returns 0: there is no limit.
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

// Decode reads a response with embedding vectors.
func (embeddings) Decode(x providers.Exchange, _ http.Header, body []byte) (*chat.Response, error) {
	if failed(body) {
		return nil, failure(0, body)
	}
	var c translate.Counter
	n := c.At(body, "prompt_eval_count")
	list := jsonraw.Elements(jsonraw.Lookup(body, "embeddings"))
	if most := x.Request.Dimensions(); most > 0 {
		list = shortened(list, int(most))
	}
	v := chat.Vectors{Model: x.Target.Upstream, List: list}
	if c.Found {
		v.Usage = &chat.Usage{Input: n, Invalid: c.Invalid}
	}
	r, err := v.Response(x.Request)
	if err != nil {
		return nil, translate.Broken(err)
	}
	return r, nil
}

// shortened cuts vectors to the number of dimensions asked for and normalises them again.
// Older servers ignore dimensions and return whole vectors.
func shortened(list iter.Seq[[]byte], most int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for vector := range list {
			if !yield(cut(vector, most)) {
				return
			}
		}
	}
}

func cut(vector []byte, most int) []byte {
	var kept []float64
	var square float64
	n := 0
	for raw := range jsonraw.Elements(vector) {
		if n++; n > most {
			continue
		}
		f, err := strconv.ParseFloat(string(raw), 64)
		if err != nil {
			return vector
		}
		kept, square = append(kept, f), square+f*f
	}
	if n <= most || square == 0 {
		return vector
	}
	out := []byte{'['}
	for i, f := range kept {
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendFloat(out, f/math.Sqrt(square), 'g', -1, 32)
	}
	return append(out, ']')
}
