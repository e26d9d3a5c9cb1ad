package gemini

import (
	"iter"
	"net/http"
	"net/url"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// embeddings is the codec for embeddings.
type embeddings struct{ completions }

// InputsPerCall returns the limit in Google's references: 100 for the Gemini API and 250 for
// Vertex AI, whose Gemini models take only one text.
func (a embeddings) InputsPerCall(x providers.Exchange) int64 {
	switch {
	case !a.Vertex:
		return 100
	case strings.Contains(x.Target.Upstream, "gemini-embedding"):
		return 1
	}
	return 250
}

// alone reports whether a Vertex AI model is called for one text, the way the Gemini API is.
// Earlier models use the generic predict format.
func (a embeddings) alone(x providers.Exchange) bool {
	return a.Vertex && strings.Contains(x.Target.Upstream, "gemini-embedding") && !strings.Contains(x.Target.Upstream,
		"gemini-embedding-001")
}

// Encode writes a batchEmbedContents call, or one of its Vertex AI counterparts, embedContent
// and predict. The formats are documented at https://ai.google.dev/api/embeddings and under
// Text embeddings API in the Vertex AI reference.
func (a embeddings) Encode(x providers.Exchange) (providers.Call, error) {
	texts, err := providers.Texts(x.Request)
	if err != nil {
		return providers.Call{}, err
	}
	model := strings.TrimPrefix(x.Target.Upstream, "models/")
	call := providers.Call{
		Path:    a.Models + url.PathEscape(model),
		Dropped: providers.Unread(x.Request, "input_type", "title"),
	}
	var o jsonraw.Object
	switch {
	case a.alone(x):
		call.Path += ":embedContent"
		o = one(x, texts[0])
	case a.Vertex:
		call.Path += ":predict"
		o = a.predict(x, texts)
	default:
		call.Path += ":batchEmbedContents"
		list := make([][]byte, len(texts))
		for i, text := range texts {
			var each jsonraw.Object
			each.Text("model", "models/"+model)
			each.Join(one(x, text))
			list[i] = each.Bytes()
		}
		o.Array("requests", list)
	}
	call.Body = o.Bytes()
	return call, nil
}

// one returns the request for one text.
func one(x providers.Exchange, text []byte) (o jsonraw.Object) {
	o.Raw("content", jsonraw.One("parts", jsonraw.Array([][]byte{jsonraw.One("text", text)})))
	o.Some("taskType", task(x.Request))
	o.Raw("title", jsonraw.Present(x.Request.Get("title")))
	if n := x.Request.Dimensions(); n > 0 {
		o.Int("outputDimensionality", n)
	}
	return o
}

func (a embeddings) predict(x providers.Exchange, texts [][]byte) (o jsonraw.Object) {
	list := make([][]byte, len(texts))
	for i, text := range texts {
		var each jsonraw.Object
		each.Raw("content", text)
		each.Some("task_type", task(x.Request))
		each.Raw("title", jsonraw.Present(x.Request.Get("title")))
		list[i] = each.Bytes()
	}
	o.Array("instances", list)
	if n := x.Request.Dimensions(); n > 0 {
		var parameters jsonraw.Object
		parameters.Int("outputDimensionality", n)
		o.Object("parameters", parameters)
	}
	return o
}

// task returns what the texts are for, in Google's terms; "" if the client does not say.
func task(r *chat.Request) string {
	switch p := providers.PurposeOf(r); p {
	case providers.ToFind:
		return "RETRIEVAL_QUERY"
	case providers.ToBeFound:
		return "RETRIEVAL_DOCUMENT"
	default:
		return strings.ToUpper(string(p))
	}
}

// Decode reads a response with embedding vectors, in any of the three formats.
func (embeddings) Decode(x providers.Exchange, _ http.Header, body []byte) (*chat.Response, error) {
	if err := failure(body); err != nil {
		return nil, err
	}
	r, err := chat.Vectors{Model: x.Target.Upstream, List: values(body), Usage: usageOf(body)}.Response(x.Request)
	if err != nil {
		return nil, translate.Broken(err)
	}
	return r, nil
}

// values returns the vectors of a response.
func values(body []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if single := jsonraw.Lookup(body, "embedding", "values"); single != nil {
			yield(single)
			return
		}
		for element := range jsonraw.Elements(jsonraw.Lookup(body, "embeddings")) {
			if !yield(jsonraw.Lookup(element, "values")) {
				return
			}
		}
		for element := range jsonraw.Elements(jsonraw.Lookup(body, "predictions")) {
			if !yield(jsonraw.Lookup(element, "embeddings", "values")) {
				return
			}
		}
	}
}

// usageOf returns the usage that a response reports, in total or per text. Some models
// report none.
func usageOf(body []byte) *chat.Usage {
	var c translate.Counter
	n := c.At(body, "usageMetadata", "promptTokenCount")
	for element := range jsonraw.Elements(jsonraw.Lookup(body, "predictions")) {
		n += c.At(element, "embeddings", "statistics", "token_count")
	}
	if !c.Found {
		return nil
	}
	return &chat.Usage{Input: n, Invalid: c.Invalid}
}
