package jsonraw

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Limits on what a refusal repeats from the body that it refuses.
const (
	maxParam = 128
	maxName  = 40
)

// FieldError is the error for a request body that is refused before it is sent anywhere.
type FieldError struct {
	Code    string // invalid_json, duplicate_field, invalid_value, unknown_parameter, missing_field, unsupported_content
	Param   string // path of the member, such as messages[0].role; "" for the body as a whole
	Message string // for the client
}

// Error returns the message, preceded by the member.
func (e *FieldError) Error() string {
	if e.Param == "" {
		return fmt.Sprintf("chat: %s: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("chat: %s: %s: %s", e.Code, e.Param, e.Message)
}

// Wrong returns the error for a value that must be different.
func Wrong(must string) *FieldError {
	return &FieldError{Code: "invalid_value", Message: must}
}

// Under prefixes the path with a member's name.
func (e *FieldError) Under(name []byte) *FieldError {
	path := clean(name)
	if e.Param != "" && e.Param[0] != '[' {
		path += "."
	}
	return e.before(path)
}

// at prefixes the path with an array position.
func (e *FieldError) at(i int) *FieldError {
	path := "[" + strconv.Itoa(i) + "]"
	if e.Param != "" && e.Param[0] != '[' {
		path += "."
	}
	return e.before(path)
}

func (e *FieldError) before(path string) *FieldError {
	if e.Param = path + e.Param; len(e.Param) > maxParam {
		e.Param = e.Param[:maxParam]
	}
	return e
}

// clean returns a name in a form that a refusal may repeat: short and printable.
func clean(name []byte) string {
	text := strings.Map(func(r rune) rune {
		if r >= unicode.MaxASCII || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, string(name[:min(len(name), maxName)]))
	return text
}
