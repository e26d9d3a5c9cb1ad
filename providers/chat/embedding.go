package chat

import (
	"bytes"
	"iter"
	"slices"
	"strconv"

	"tallyroute/providers/jsonraw"
)

// embedding describes an embedding request: the members that a router or a provider acts on,
// starting with those that every request has.
var embedding = field{Kinds: isObject, Required: 2, Other: &other, Fields: slices.Concat([]field{
	{Name: "model", Kinds: isString, Rule: ruleModel},
	{Name: "input", Kinds: isString | isArray, Rule: ruleInput, Each: &field{
		Kinds: isString | isNumber | isArray, Each: &field{Kinds: isNumber},
	}},
	{Name: "dimensions", Kinds: isNumber | isNull, Rule: ruleDimensions},
	{Name: "encoding_format", Kinds: isString | isNull, Rule: ruleEncoding},
	{Name: "user", Kinds: isString | isNull, NoNUL: true},
	{Name: "safety_identifier", Kinds: isString | isNull, NoNUL: true},
	{Name: "metadata", Kinds: isObject | isNull, Most: MaxMetadata, Each: &field{Kinds: isString, NoNUL: true}},
	{Name: "input_type", Kinds: isString | isNull},
	{Name: "api_base", Rule: ruleRefused},
	{Name: "base_url", Rule: ruleRefused},
	{Name: "custom_host", Rule: ruleRefused},
	{Name: "extra_body", Rule: ruleRefused},
}, named("truncation", "truncate", "title", "normalize", "output_dtype", "output_dimension", "service_tier"), noted("models", "provider"))}

// ParseEmbedding scans the body of an embedding request, as ParseRequest does for a chat
// completion. The format is defined by CreateEmbeddingRequest in OpenAI's OpenAPI file.
func ParseEmbedding(body []byte) (*Request, error) { return Limits{}.ParseEmbedding(body) }

// ParseEmbedding is like the function ParseEmbedding, with the limits in l.
func (l Limits) ParseEmbedding(body []byte) (*Request, error) {
	return parse(body, views{root: &embedding, limits: l.filled()})
}

// readInput counts the inputs to be embedded: one text, a list of texts, one list of tokens,
// or a list of such lists.
func readInput(raw []byte) (n int64, ids bool, err *jsonraw.FieldError) {
	if raw[0] == '"' {
		return 1, false, nil
	}
	var first jsonraw.Kind
	for element := range jsonraw.Elements(raw) {
		switch k := jsonraw.KindOf(element[0]); {
		case first == 0:
			first = k
		case first != k:
			return 0, false, jsonraw.Wrong("must hold either texts or tokens or lists of tokens, not several of these")
		}
		if first == isArray && jsonraw.IsEmptyArray(element) {
			return 0, false, jsonraw.Wrong("must not hold an empty list of tokens")
		}
		n++
	}
	switch {
	case n == 0:
		return 0, false, jsonraw.Wrong("must hold at least one text")
	case first == isNumber:
		return 1, true, nil
	case n > MaxInputs:
		return 0, false, jsonraw.Wrong("has more than " + strconv.Itoa(MaxInputs) + " elements; send fewer")
	}
	return n, first == isArray, nil
}

func readEncoding(raw []byte) (base64 bool, err *jsonraw.FieldError) {
	switch jsonraw.Text(raw) {
	case "base64":
		return true, nil
	case "float":
		return false, nil
	}
	if jsonraw.IsNull(raw) {
		return false, nil
	}
	return false, jsonraw.Wrong("must be float or base64")
}

// InputCount returns the number of vectors that an embedding request asks for.
func (r *Request) InputCount() int64 { return r.inputs }

// TokenInput reports whether the inputs are the model's tokens rather than texts.
func (r *Request) TokenInput() bool { return r.ids }

// Dimensions returns the requested length of the vectors; 0 if the client does not say.
func (r *Request) Dimensions() int64 { return r.dimensions }

// Base64 reports whether vectors are requested in base64, as little-endian 32-bit floats.
func (r *Request) Base64() bool { return r.base64 }

// Inputs yields the texts to be embedded, as they are in the body, or else the lists of
// tokens. A chat completion has none.
func (r *Request) Inputs() iter.Seq[[]byte] {
	if r.inputs == 0 {
		return func(func([]byte) bool) {}
	}
	raw := r.Get("input")
	if len(raw) > 0 && raw[0] == '[' && (!r.ids || jsonraw.IsArray(bytes.TrimLeft(raw[1:], " \n\r\t"))) {
		return jsonraw.Elements(raw)
	}
	return func(yield func([]byte) bool) { yield(raw) }
}
