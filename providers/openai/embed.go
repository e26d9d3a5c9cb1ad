package openai

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// embeddings is the codec of embeddings.
type embeddings struct {
	dialect

	// dimensions is the provider's name for that member; "" means the format's own.
	dimensions string
	// members lists the only ones that the provider accepts, besides those that every request
	// has; nil means all.
	members []string
}

// InputsPerCall returns 0: there is no limit.
func (embeddings) InputsPerCall(providers.Exchange) int64 { return 0 }

// Encode changes the model's name, and whatever else differs for the provider. An encoding
// that the provider does not support is not lost, because the response is converted.
func (c embeddings) Encode(x providers.Exchange) (providers.Call, error) {
	e := edit{x: x, r: x.Request}
	if c.members != nil {
		if _, err := providers.Texts(x.Request); err != nil {
			return providers.Call{}, err
		}
		e.dropped = providers.Unread(x.Request, c.members...)
		e.drops = slices.Clone(e.dropped)
	}
	if e.r.Get(encoding) != nil && (x.Target.Quirks.Vectors == providers.VectorsInt8 || !x.Target.Sends(encoding)) {
		e.drops = append(e.drops, encoding)
	}
	if raw := e.r.Get("dimensions"); raw != nil && c.dimensions != "" {
		e.drops = append(e.drops, "dimensions")
		if e.r.Get(c.dimensions) == nil {
			e.set(c.dimensions, raw)
		}
	}
	e.model()
	return e.call(c.at(x.Target, embeddingsPath))
}

const encoding = "encoding_format"

// Decode reads a response with vectors.
func (embeddings) Decode(x providers.Exchange, _ http.Header, body []byte) (*chat.Response, error) {
	if x.Target.Quirks.Vectors == providers.VectorsInt8 {
		body = widened(body)
	}
	r, err := chat.ParseVectors(body, x.Request)
	if err != nil {
		return nil, fault(err)
	}
	return r, nil
}

// Fail reads a response with an error status.
func (embeddings) Fail(_ providers.Exchange, status int, _ http.Header, body []byte) *providers.Error {
	return fail(status, body)
}

// widened returns a response with its vectors of 8-bit numbers converted to arrays. An
// invalid vector stays as it is and is refused later.
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
