package openai

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

var _ providers.Embedder = Adapter{}

const embeddings = "/embeddings"

// EncodeEmbedding changes the model's name and what is declared of the provider.
// Of its quirks those count that rename, drop and refuse members; the members that
// are known are those of chats. An encoding that is dropped is not lost: the answer
// is converted.
func (Adapter) EncodeEmbedding(x providers.Exchange) (providers.Call, error) {
	e := edit{x: x, q: x.Target.Quirks, r: x.Request}
	e.q.Known = nil
	if slices.Contains(e.q.Drop, encoding) || e.q.Vectors == providers.VectorsInt8 {
		e.q.Drop = slices.DeleteFunc(slices.Clone(e.q.Drop), func(name string) bool { return name == encoding })
		if e.r.Get(encoding) != nil {
			e.drops = append(e.drops, encoding)
		}
	}
	if err := e.refuse(); err != nil {
		return providers.Call{}, err
	}
	e.model()
	e.quirks()
	call := providers.Call{Path: embeddingsPath(e.q.Path), Body: e.r.Body(), Dropped: e.dropped}
	if len(e.sets)+len(e.drops) == 0 {
		return call, nil
	}
	r, err := e.r.Edit(e.sets, e.drops...)
	if err != nil {
		return providers.Call{}, fmt.Errorf("openai: encode: %w", err)
	}
	call.Body = r.Body()
	return call, nil
}

const encoding = "encoding_format"

// embeddingsPath is beside the path of chat completions.
func embeddingsPath(completions string) string {
	if before, ok := strings.CutSuffix(completions, path); ok {
		return before + embeddings
	}
	return embeddings
}

// DecodeEmbedding reads an answer with vectors.
func (Adapter) DecodeEmbedding(x providers.Exchange, _ http.Header, body []byte) (*chat.Response, error) {
	if x.Target.Quirks.Vectors == providers.VectorsInt8 {
		body = widened(body)
	}
	r, err := chat.ParseVectors(body, x.Request)
	if err != nil {
		return nil, fault(err)
	}
	return r, nil
}

// widened is an answer whose vectors of 8-bit numbers are arrays. One that is none
// stays as it is, and will be refused.
func widened(body []byte) []byte {
	list := []byte{'['}
	for element := range jsonraw.Elements(jsonraw.Lookup(body, "data")) {
		if len(list) > 1 {
			list = append(list, ',')
		}
		vector := jsonraw.Lookup(element, "embedding")
		numbers, err := base64.StdEncoding.DecodeString(jsonraw.Text(vector))
		if len(vector) == 0 || vector[0] != '"' || err != nil {
			list = append(list, element...)
			continue
		}
		array := []byte{'['}
		for i, n := range numbers {
			if i > 0 {
				array = append(array, ',')
			}
			array = strconv.AppendInt(array, int64(int8(n)), 10)
		}
		list = append(list, jsonraw.Edit(element, []jsonraw.Member{{Name: "embedding", Value: append(array, ']')}})...)
	}
	if len(list) == 1 {
		return body
	}
	return jsonraw.Edit(body, []jsonraw.Member{{Name: "data", Value: append(list, ']')}})
}
