package providers

import (
	"bytes"
	"slices"
	"strings"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Purpose is what the texts of a request for embeddings are for, which many models
// must know. It is one of the constants, or in the words of the client, in small
// letters: "clustering", "classification", …
type Purpose string

// The purposes that providers have different words for.
const (
	ToFind    Purpose = "query"    // a question that is asked of texts
	ToBeFound Purpose = "document" // a text that is searched
)

// PurposeOf is the member input_type of a request, "" if there is none.
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
		return nil, &chat.FieldError{
			Code: "unsupported_parameter", Param: "input",
			Message: "must be texts: this model does not take tokens",
		}
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
			lost = Lose(lost, n)
		}
	}
	return lost
}

// splitInputs makes requests with as many inputs each as one call may have; none
// where one call will do.
func splitInputs(x Exchange) (parts []*chat.Request, err error) {
	codec := x.Target.Adapter.Embed
	if codec == nil {
		return nil, nil
	}
	per := codec.InputsPerCall(x)
	if per <= 0 || per >= x.Request.InputCount() {
		return nil, nil
	}
	for inputs := range slices.Chunk(slices.Collect(x.Request.Inputs()), int(per)) {
		value := slices.Concat([]byte("["), bytes.Join(inputs, []byte(",")), []byte("]"))
		part, err := x.Request.Edit([]jsonraw.Member{{Name: "input", Value: value}})
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return parts, nil
}
