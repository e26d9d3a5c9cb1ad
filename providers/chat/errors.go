package chat

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

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

// maxMessage bounds a provider's words.
const maxMessage = 4096

// ParseError reads the error object that providers send, in any of its usual
// shapes: the OpenAI one, a bare string, a list with one in it, or the members
// at the top level. It is false where body holds none.
func ParseError(body []byte) (Error, bool) {
	c := jsonraw.NewCursor(body)
	if c.Skip(); c.Bad() {
		return Error{}, false
	}
	body = first(body)
	var e Error
	for _, at := range [...]string{"error", "errors", "base_resp"} {
		if raw := jsonraw.Lookup(body, at); something(raw) {
			e.fill(raw)
			return e, true
		}
	}
	e.fill(body)
	return e, e.Message != ""
}

// fill reads an error from an object, from the first of a list, or from a string.
func (e *Error) fill(raw []byte) {
	raw = first(raw)
	if raw[0] == '"' {
		e.Message = short(raw)
	}
	other := "" // what says the code where none does
	for name, value := range jsonraw.Each(raw) {
		switch string(name) {
		case "message", "msg", "status_msg":
			if e.Message = scalar(value); e.Message == "" {
				e.fillMessage(value)
			}
		case "detail":
			if e.Message == "" {
				e.fill(value)
			}
		case "type":
			e.Type = scalar(value)
		case "param":
			e.Param = scalar(value)
		case "code":
			e.Code = scalar(value)
		case "error_code", "status_code":
			other = scalar(value)
		}
	}
	if e.Code == "" {
		e.Code = other
	}
}

// fillMessage reads a message that is an object, whose own message it takes.
func (e *Error) fillMessage(raw []byte) {
	if raw[0] != '{' {
		return
	}
	var inner Error
	inner.fill(raw)
	e.Message = inner.Message
}

// first is the first element of a list, and anything else as it is.
func first(raw []byte) []byte {
	for element := range jsonraw.Elements(raw) {
		raw = element
		break
	}
	return raw
}

// scalar is a string or a number as text, "" for anything else.
func scalar(raw []byte) string {
	if raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9' {
		return string(raw)
	}
	if raw[0] != '"' {
		return ""
	}
	return short(raw)
}

// short is the text as a copy that is bounded and valid UTF-8.
func short(q jsonraw.Quoted) string {
	text := q.Bytes()
	if len(text) > maxMessage {
		end := maxMessage
		for end > maxMessage-utf8.UTFMax && !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end]
	}
	return strings.ToValidUTF8(string(text), "\uFFFD")
}
