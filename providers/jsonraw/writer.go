package jsonraw

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// Object writes a JSON object member by member and inserts the commas. Values are written as
// they are, so that no number loses a digit. The zero value is an empty object.
type Object struct{ b []byte } // starts with the opening brace; an empty slice is equivalent to "{"

// Bytes returns the object, which is valid until more is written.
func (o *Object) Bytes() []byte {
	if len(o.b) == 0 {
		return []byte("{}")
	}
	return append(o.b, '}')
}

// Reset empties the object and reuses its memory, so that earlier results of Bytes become
// invalid.
func (o *Object) Reset() { o.b = o.b[:0] }

// Empty reports whether the object has no members.
func (o *Object) Empty() bool { return len(o.b) <= len("{") }

// comma inserts a comma unless the next item is the first. No value ends in one of the three
// bytes checked, so the last byte is enough to tell.
func (o *Object) comma() {
	if n := len(o.b); n == 0 {
		o.b = append(o.b, '{')
	} else if c := o.b[n-1]; c != '{' && c != '[' && c != ':' {
		o.b = append(o.b, ',')
	}
}

// Key writes the name of the member whose value Open or Value writes next.
func (o *Object) Key(name string) {
	o.comma()
	o.b = append(AppendQuote(o.b, name), ':')
}

// Open begins a nested value: '{' or '['.
func (o *Object) Open(bracket byte) {
	o.comma()
	o.b = append(o.b, bracket)
}

// Close ends what Open began: '}' or ']'.
func (o *Object) Close(bracket byte) { o.b = append(o.b, bracket) }

// Value writes the value of Key, or an array element, given as JSON.
func (o *Object) Value(raw []byte) {
	o.comma()
	o.b = Append(o.b, raw)
}

// Raw adds a member whose value is given as JSON; nil adds nothing.
func (o *Object) Raw(name string, value []byte) {
	if value != nil {
		o.Key(name)
		o.b = Append(o.b, value)
	}
}

// Word adds a member whose value is true, false, null or any other short JSON.
func (o *Object) Word(name, json string) {
	o.Key(name)
	o.b = append(o.b, json...)
}

// Text adds a string.
func (o *Object) Text(name, text string) {
	o.Key(name)
	o.b = AppendQuote(o.b, text)
}

// Some adds a string unless it is empty.
func (o *Object) Some(name, text string) {
	if text != "" {
		o.Text(name, text)
	}
}

// Inside adds a string whose inside, without the quotes, is given as JSON.
func (o *Object) Inside(name string, inside []byte) {
	o.Key(name)
	o.b = append(Append(append(o.b, '"'), inside), '"')
}

// Int adds a number.
func (o *Object) Int(name string, n int64) {
	o.Key(name)
	o.b = strconv.AppendInt(o.b, n, 10)
}

// Array adds an array of JSON values; an empty one adds nothing.
func (o *Object) Array(name string, elements [][]byte) {
	if len(elements) == 0 {
		return
	}
	o.Key(name)
	o.Open('[')
	for _, e := range elements {
		o.Value(e)
	}
	o.Close(']')
}

// Object adds an object unless it is empty.
func (o *Object) Object(name string, value Object) {
	if !value.Empty() {
		o.Raw(name, value.Bytes())
	}
}

// Join adds the members of another object.
func (o *Object) Join(other Object) {
	if !other.Empty() {
		o.Value(other.b[len("{"):])
	}
}

// Extend returns an object with more members at its end.
func Extend(object []byte, more Object) []byte {
	if trimmed := bytes.TrimSpace(object); !more.Empty() && IsObject(trimmed) {
		return grown(trimmed, Span{0, len(trimmed)}, more.b[len("{"):])
	}
	return object
}

// One returns an object with one member, whose value is given as JSON.
func One(name string, value []byte) []byte {
	var o Object
	o.Raw(name, value)
	return o.Bytes()
}

// Array returns a JSON array of the elements.
func Array(elements [][]byte) []byte {
	n := 1 + len(elements)
	for _, e := range elements {
		n += len(e)
	}
	list := append(make([]byte, 0, max(n, 2)), '[')
	var pace Pace
	for i, e := range elements {
		if i > 0 {
			list = append(list, ',')
		}
		list = Append(list, e)
		pace.Add(len(e) + 1)
	}
	return append(list, ']')
}

// Compact returns the JSON on one line, with its numbers and strings unchanged. Anything that
// is not JSON is returned unchanged.
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
