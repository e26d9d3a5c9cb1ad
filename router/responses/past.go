package responses

import (
	"slices"

	"tallyroute/providers/jsonraw"
)

// Past gives access to stored responses.
type Past struct {
	ID string // of the response to this request
	// Conversation returns the items of a stored response, and of those that it continues from:
	// what was asked and answered, earliest first.
	Conversation func(id string) ([][]byte, error)
}

// Kept is what is to be stored for a request, along with its response.
type Kept struct {
	ID       string // of the response
	Previous string // id of the response that it continues from; "" for none
	Input    []byte // the request's own items, as a list
}

// inputItems returns the items of an input, which may be a string.
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
