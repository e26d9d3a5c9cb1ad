package jsonraw

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Bounds of what a refusal repeats from the body it refuses.
const (
	maxParam = 128
	maxName  = 40
)

// FieldError is a request body that is refused before it is sent anywhere.
type FieldError struct {
	Code    string // invalid_json, duplicate_field, invalid_value, unknown_parameter, missing_field, unsupported_content
	Param   string // path of the member, as messages[0].role; "" for the body as a whole
	Message string // for the client
}

// Error is the message with the member in front.
func (e *FieldError) Error() string {
	if e.Param == "" {
		return fmt.Sprintf("chat: %s: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("chat: %s: %s: %s", e.Code, e.Param, e.Message)
}

// Wrong is a value that must be another.
func Wrong(must string) *FieldError {
	return &FieldError{Code: "invalid_value", Message: must}
}

// Under puts a member's name in front of the path.
func (e *FieldError) Under(name []byte) *FieldError {
	path := clean(name)
	if e.Param != "" && e.Param[0] != '[' {
		path += "."
	}
	return e.before(path)
}

// at puts a position in front of the path.
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

// clean is a name as a refusal may repeat it: short and printable.
func clean(name []byte) string {
	text := strings.Map(func(r rune) rune {
		if r >= unicode.MaxASCII || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, string(name[:min(len(name), maxName)]))
	return text
}
