package responses

import (
	"slices"

	"tallyroute/providers/jsonraw"
)

// Past is where responses are kept.
type Past struct {
	ID string // of the response that is asked for
	// Conversation are the items of a response that is kept, and of those that it goes on
	// from: what was asked and answered, the first of them first.
	Conversation func(id string) ([][]byte, error)
}

// Kept is what is to be kept of a request, beside its response.
type Kept struct {
	ID       string // of the response
	Previous string // id of the response that it goes on from; "" for none
	Input    []byte // the request's own items, as a list
}

// inputItems are the items of an input, which may be a text.
func inputItems(input []byte) [][]byte {
	if jsonraw.IsString(input) {
		var part, message jsonraw.Object
		part.Text("type", "input_text")
		part.Raw("text", input)
		message.Text("type", "message")
		message.Text("role", "user")
		message.Raw("content", jsonraw.Array([][]byte{part.Bytes()}))
		return [][]byte{message.Bytes()}
	}
	return slices.Collect(jsonraw.Elements(input))
}
