package translate

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Object writes a JSON object member by member. Values pass as they are, so that
// no number loses a digit. The zero value is an empty object.
type Object struct{ b []byte }

// Raw adds a member whose value is JSON already; nil adds nothing.
func (o *Object) Raw(name string, value []byte) {
	if value == nil {
		return
	}
	if len(o.b) > 0 {
		o.b = append(o.b, ',')
	}
	o.b = append(append(AppendQuote(o.b, name), ':'), value...)
}

// Text adds a string.
func (o *Object) Text(name, text string) { o.Raw(name, Quote(text)) }

// Some adds a string that is not empty.
func (o *Object) Some(name, text string) {
	if text != "" {
		o.Text(name, text)
	}
}

// Int adds a number.
func (o *Object) Int(name string, n int64) { o.Raw(name, strconv.AppendInt(nil, n, 10)) }

// Array adds an array of JSON values; an empty one adds nothing.
func (o *Object) Array(name string, elements [][]byte) {
	if len(elements) > 0 {
		o.Raw(name, Array(elements))
	}
}

// Object adds an object that is not empty.
func (o *Object) Object(name string, value Object) {
	if !value.Empty() {
		o.Raw(name, value.Bytes())
	}
}

// Empty reports an object without members.
func (o *Object) Empty() bool { return len(o.b) == 0 }

// Bytes is the object.
func (o *Object) Bytes() []byte {
	out := make([]byte, 0, len(o.b)+len("{}"))
	return append(append(append(out, '{'), o.b...), '}')
}

// Join adds the members of another object.
func (o *Object) Join(other Object) {
	if len(o.b) > 0 && len(other.b) > 0 {
		o.b = append(o.b, ',')
	}
	o.b = append(o.b, other.b...)
}

// Extend is an object with further members at its end.
func Extend(object []byte, more Object) []byte {
	end := bytes.LastIndexByte(object, '}')
	if more.Empty() || end < 0 {
		return object
	}
	out := append(make([]byte, 0, len(object)+len(more.b)+1), object[:end]...)
	if body := bytes.TrimSpace(object[:end]); body[len(body)-1] != '{' {
		out = append(out, ',')
	}
	return append(append(out, more.b...), '}')
}

// One is an object with one member whose value is JSON already.
func One(name string, value []byte) []byte {
	var o Object
	o.Raw(name, value)
	return o.Bytes()
}

// Array is a JSON array.
func Array(elements [][]byte) []byte {
	return append(append([]byte{'['}, bytes.Join(elements, []byte{','})...), ']')
}

// Quote is a text as a JSON string.
func Quote(text string) []byte { return AppendQuote(make([]byte, 0, len(text)+len(`""`)), text) }

// AppendQuote appends a text as a JSON string.
func AppendQuote(dst []byte, text string) []byte {
	plain := strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' }) < 0
	if plain && utf8.ValidString(text) {
		return append(append(append(dst, '"'), text...), '"')
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		return append(dst, `""`...) // not reached: every string has a JSON form
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// Compact is JSON on one line, its numbers and strings as they are. What is no
// JSON stays as it is.
func Compact(raw []byte) []byte {
	if !bytes.ContainsAny(raw, " \t\r\n") {
		return raw
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return raw
	}
	return b.Bytes()
}

// Present is a value that says something: nil for what is not there and for null.
func Present(raw []byte) []byte {
	if len(raw) == 0 || raw[0] == 'n' {
		return nil
	}
	return raw
}

// IsObject reports a JSON object.
func IsObject(raw []byte) bool { return len(raw) > 0 && raw[0] == '{' }
