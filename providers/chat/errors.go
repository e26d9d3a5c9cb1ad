package chat

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"tallyroute/providers/jsonraw"
)

// ErrMalformed is returned by ParseResponse and ParseChunk for bytes that are not a chat
// completion at all: HTML, nothing, broken JSON, JSON of another shape.
var ErrMalformed = errors.New("chat: not a chat completion")

// Error is the error object of the OpenAI format, as a provider sent it or as
// an adapter translated it.
type Error struct {
	Message string `json:"message"`
	Type    string `json:"type"`
	Param   string `json:"param"` // "" is null on the wire
	Code    string `json:"code"`  // "" is null on the wire
}

// Error returns a text for the log, without the message, because providers repeat prompts in
// it.
func (e *Error) Error() string {
	return fmt.Sprintf("chat: the provider answered with an error (type %q, code %q)", e.Type, e.Code)
}

// FieldError is the error for a request that is refused before it is sent anywhere.
type FieldError = jsonraw.FieldError

// maxMessage is the length in bytes to which a provider's message is cut.
const maxMessage = 4096

// ParseError reads a provider's error object in any of its usual shapes: the OpenAI one, a
// bare string, a list that contains one, or the members at the top level. It returns false if
// body has none of them.
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

// fill reads an error from an object, from the first element of a list, or from a string.
func (e *Error) fill(raw []byte) {
	raw = first(raw)
	if raw[0] == '"' {
		e.Message = short(raw)
	}
	other := "" // used as the code if there is no code
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

// fillMessage reads a message that is an object, which has the actual message in it.
func (e *Error) fillMessage(raw []byte) {
	if raw[0] != '{' {
		return
	}
	var inner Error
	inner.fill(raw)
	e.Message = inner.Message
}

// first returns the first element of a list, and anything else unchanged.
func first(raw []byte) []byte {
	for element := range jsonraw.Elements(raw) {
		raw = element
		break
	}
	return raw
}

// scalar returns a string or a number as text, or "" for anything else.
func scalar(raw []byte) string {
	if raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9' {
		return string(raw)
	}
	if raw[0] != '"' {
		return ""
	}
	return short(raw)
}

// short returns a copy of the text, cut to maxMessage and made valid UTF-8.
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
