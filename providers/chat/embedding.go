package chat

import (
	"iter"
	"strconv"
)

// embedding is a request for embeddings: the members that a router or a provider
// acts on, the ones that every request has first.
var embedding = field{kinds: isObject, required: 2, fields: append([]field{
	{name: "model", kinds: isString, rule: ruleModel},
	{name: "input", kinds: isString | isArray, rule: ruleInput, each: &field{
		kinds: isString | isNumber | isArray, each: &field{kinds: isNumber},
	}},
	{name: "dimensions", kinds: isNumber | isNull, rule: ruleDimensions},
	{name: "encoding_format", kinds: isString | isNull, rule: ruleEncoding},
	{name: "user", kinds: isString | isNull, rule: ruleNoNUL},
	{name: "safety_identifier", kinds: isString | isNull, rule: ruleNoNUL},
	{name: "metadata", kinds: isObject | isNull, most: MaxMetadata, each: &field{kinds: isString, rule: ruleNoNUL}},
	{name: "input_type", kinds: isString | isNull},
	{name: "api_base", rule: ruleRefused},
	{name: "base_url", rule: ruleRefused},
	{name: "custom_host", rule: ruleRefused},
	{name: "extra_body", rule: ruleRefused},
}, named("truncation", "truncate", "title", "normalize", "output_dtype", "output_dimension", "service_tier", "models", "provider")...)}

// ParseEmbedding scans the body of a request for embeddings as ParseRequest does
// that of a chat completion. Source of the format: the OpenAPI file of OpenAI,
// CreateEmbeddingRequest.
func ParseEmbedding(body []byte) (*Request, error) {
	return parse(body, views{root: &embedding})
}

// readInput counts what is to be embedded: one text, a list of texts, one list of
// tokens, or a list of such lists.
func readInput(raw []byte) (n int64, ids bool, err *FieldError) {
	if raw[0] == '"' {
		return 1, false, nil
	}
	var first kind
	for element := range Elements(raw) {
		switch k := kindOf(element[0]); {
		case first == 0:
			first = k
		case first != k:
			return 0, false, wrong("must hold either texts or tokens or lists of tokens, not several of these")
		}
		if first == isArray && empty(element) {
			return 0, false, wrong("must not hold an empty list of tokens")
		}
		n++
	}
	switch {
	case n == 0:
		return 0, false, wrong("must hold at least one text")
	case first == isNumber:
		return 1, true, nil
	case n > MaxInputs:
		return 0, false, wrong("has more than " + strconv.Itoa(MaxInputs) + " elements; send fewer")
	}
	return n, first == isArray, nil
}

func readEncoding(raw []byte) (base64 bool, err *FieldError) {
	switch Text(raw) {
	case "base64":
		return true, nil
	case "float":
		return false, nil
	}
	if raw[0] == 'n' {
		return false, nil
	}
	return false, wrong("must be float or base64")
}

// InputCount is how many vectors a request for embeddings asks for.
func (r *Request) InputCount() int64 { return r.inputs }

// TokenInput reports that the inputs are tokens of the model and not texts.
func (r *Request) TokenInput() bool { return r.ids }

// Dimensions is how long vectors shall be; 0 where the client does not say.
func (r *Request) Dimensions() int64 { return r.dimensions }

// Base64 reports that vectors are asked for in base64: of their numbers as 32-bit
// floats, the lowest byte first.
func (r *Request) Base64() bool { return r.base64 }

// Inputs are the texts to be embedded, as they stand in the body, or else the
// lists of tokens.
func (r *Request) Inputs() iter.Seq[[]byte] {
	raw := r.Get("input")
	if len(raw) > 0 && raw[0] == '[' && (!r.ids || raw[spaceEnd(raw, 1)] == '[') {
		return Elements(raw)
	}
	return func(yield func([]byte) bool) { yield(raw) }
}
