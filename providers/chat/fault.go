package chat

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

// broken is a body that is no JSON, or none that every parser reads alike.
func (s *scanner) broken(what string) *FieldError {
	return &FieldError{Code: "invalid_json", Message: fmt.Sprintf("%s (byte %d)", what, s.i)}
}

// wrong is a value that must be another.
func wrong(must string) *FieldError {
	return &FieldError{Code: "invalid_value", Message: must}
}

// under puts a member's name in front of the path.
func (e *FieldError) under(name []byte) *FieldError {
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

// String lists the types for a sentence: "a string, an array or null".
func (k kind) String() string {
	var list []string
	for i, name := range []string{"an object", "an array", "a string", "a number", "true/false", "null"} {
		if k&(1<<i) != 0 {
			list = append(list, strings.Split(name, "/")...)
		}
	}
	if last := len(list) - 1; last > 0 {
		return strings.Join(list[:last], ", ") + " or " + list[last]
	}
	return strings.Join(list, "")
}
