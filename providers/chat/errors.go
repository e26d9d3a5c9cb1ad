package chat

import (
	"errors"
	"fmt"

	"tallyroute/providers/jsonraw"
)

// ErrMalformed is what ParseResponse and ParseChunk return for bytes that are no
// chat completion at all: HTML, nothing, broken JSON, JSON of another shape.
var ErrMalformed = errors.New("chat: not a chat completion")

// Error is the error object of the OpenAI format, as a provider sent it or as
// an adapter translated it.
type Error struct {
	Message string `json:"message"`
	Type    string `json:"type"`
	Param   string `json:"param"` // "" is null on the wire
	Code    string `json:"code"`  // "" is null on the wire
}

// Error is for the log. The message is not: providers repeat prompts in it.
func (e *Error) Error() string {
	return fmt.Sprintf("chat: the provider answered with an error (type %q, code %q)", e.Type, e.Code)
}

// FieldError is a request that is refused before it is sent anywhere.
type FieldError = jsonraw.FieldError
