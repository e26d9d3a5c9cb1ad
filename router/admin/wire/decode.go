// Package wire is how the admin API reads and writes values: its inputs are structs, read from
// a body or a query; their members have types that JSON lacks, such as money and durations; and
// its OpenAPI document has the schemas of them all.
//
// The tags of an input say what is accepted:
//
//	json:"name"       the member or parameter
//	required:"true"   which must be there
//	enum:"a,b"        and have one of these values
//	doc:"…"           and how the OpenAPI document describes it
//
// Names match exactly, none may appear twice, and no others are accepted. The decoder of the
// standard library is more lenient, which could lead somebody to believe that a limit is set
// when it is not.
package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"tallyroute/billing"
)

// The codes for invalid inputs; the listener's errors say what to do about each.
const (
	CodeInvalidValue = "invalid_value"
	CodeUnknownField = "unknown_field"
	CodeUnknownParam = "unknown_parameter"
	CodeDuplicate    = "duplicate_field"
)

// SyntaxError is a body that is not a single JSON object.
type SyntaxError struct{ Detail string }

func (e *SyntaxError) Error() string { return "wire: " + e.Detail }

// Hint says what a value must be.
type Hint string

func (h Hint) Error() string { return "wire: " + string(h) }

// Invalid returns the error of a member or parameter with an invalid value.
func Invalid(field, format string, args ...any) *billing.FieldError {
	return &billing.FieldError{Field: field, Code: CodeInvalidValue, Detail: fmt.Sprintf(format, args...)}
}

// Field is a member of an input.
type Field struct {
	Name     string
	Required bool
	Enum     []string
	Doc      string
	nullable bool // in answers: null if a list does not apply
	optional bool // in answers: omitted if empty
	index    []int
	Kind     reflect.Type
}

// FieldsOf returns the members of a struct, including those of embedded structs.
func FieldsOf(t reflect.Type) (list []Field) {
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		one := Field{
			Name: name, Required: f.Tag.Get("required") == "true", Doc: f.Tag.Get("doc"), nullable: f.Tag.Get("nullable") == "true",
			optional: strings.Contains(options, "omitempty"), index: f.Index, Kind: f.Type,
		}
		if values := f.Tag.Get("enum"); values != "" {
			one.Enum = strings.Split(values, ",")
		}
		list = append(list, one)
	}
	return list
}

// HasRequired reports whether an input cannot be empty.
func HasRequired(t reflect.Type) bool {
	return slices.ContainsFunc(FieldsOf(t), func(f Field) bool { return f.Required })
}

// DecodeBody reads a JSON object into a struct.
func DecodeBody(raw []byte, v reflect.Value) error {
	if !utf8.Valid(raw) {
		return &SyntaxError{"it is not UTF-8"}
	}
	return decodeObject(raw, v)
}

func decodeObject(raw []byte, v reflect.Value) error {
	notObject := &SyntaxError{"it is not a JSON object"}
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return notObject
	}
	members := FieldsOf(v.Type())
	seen := make(map[string]bool)
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		var value json.RawMessage
		if err != nil || !ok || d.Decode(&value) != nil {
			return notObject
		}
		if seen[name] {
			return &billing.FieldError{Field: Shorten(name), Code: CodeDuplicate, Detail: "appears twice"}
		}
		seen[name] = true
		i := slices.IndexFunc(members, func(f Field) bool { return f.Name == name })
		if i < 0 {
			return &billing.FieldError{Field: Shorten(name), Code: CodeUnknownField, Detail: "is not a member here"}
		}
		if err := members[i].decode(value, v.FieldByIndex(members[i].index)); err != nil {
			return within(name, err)
		}
	}
	if _, err := d.Token(); err != nil {
		return notObject
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return &SyntaxError{"something follows the object"}
	}
	return missing(members, func(name string) bool { return seen[name] })
}

func missing(members []Field, there func(string) bool) error {
	for _, f := range members {
		if f.Required && !there(f.Name) {
			return Invalid(f.Name, "is required")
		}
	}
	return nil
}

// secretMember is the only member that takes the secret of a key.
const secretMember = "secret"

func (f Field) decode(raw []byte, v reflect.Value) error {
	if f.Name != secretMember && billing.HoldsSecret(raw) {
		return Hint("has the secret of a key in it, which would be stored and shown")
	}
	if err := DecodeValue(raw, v); err != nil {
		return err
	}
	if f.Enum != nil && !slices.Contains(f.Enum, v.String()) {
		return Hint("must be " + OneOf(f.Enum))
	}
	return nil
}

// OneOf joins words into a phrase: "a, b or c".
func OneOf[S ~string](words []S) string {
	var b strings.Builder
	for i, w := range words {
		switch i {
		case 0:
		case len(words) - 1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(string(w))
	}
	return b.String()
}

// DecodeValue reads a value of any type. Null is allowed only if the value may be absent.
func DecodeValue(raw []byte, v reflect.Value) error {
	if own, ok := v.Addr().Interface().(json.Unmarshaler); ok {
		return own.UnmarshalJSON(raw)
	}
	if string(raw) == "null" {
		if v.Kind() != reflect.Pointer && v.Kind() != reflect.Slice && v.Kind() != reflect.Map {
			return Hint("must not be null")
		}
		v.SetZero()
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return DecodeValue(raw, v.Elem())
	case reflect.Struct:
		return decodeObject(raw, v)
	case reflect.Slice:
		return decodeList(raw, v)
	default:
	}
	if err := json.Unmarshal(raw, v.Addr().Interface()); err != nil {
		return Hint("is of the wrong type")
	}
	return nil
}

func decodeList(raw []byte, v reflect.Value) error {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return Hint("must be an array")
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		if err := DecodeValue(item, v.Index(i)); err != nil {
			return within(fmt.Sprintf("[%d]", i), err)
		}
	}
	return nil
}

// within prefixes the field of an error with a name.
func within(name string, err error) error {
	var inner *billing.FieldError
	var syntax *SyntaxError
	var must Hint
	switch {
	case errors.As(err, &inner):
		if inner.Field != "" && inner.Field[0] != '[' {
			name += "."
		}
		return &billing.FieldError{Field: name + inner.Field, Code: inner.Code, Detail: inner.Detail}
	case errors.As(err, &syntax):
		return Invalid(name, "must be an object")
	case errors.As(err, &must):
		return Invalid(name, "%s", string(must))
	}
	return Invalid(name, "is of the wrong type")
}

// DecodeQuery reads query parameters into a struct of strings and numbers. No others are
// allowed, and none twice.
func DecodeQuery(raw string, v reflect.Value) error {
	q, err := url.ParseQuery(raw)
	if err != nil {
		return &billing.FieldError{Field: "query", Code: CodeInvalidValue, Detail: "cannot be read"}
	}
	members := FieldsOf(v.Type())
	for name, values := range q {
		i := slices.IndexFunc(members, func(f Field) bool { return f.Name == name })
		if i < 0 {
			return &billing.FieldError{Field: Shorten(name), Code: CodeUnknownParam, Detail: "is not a parameter here"}
		}
		if len(values) > 1 || len(values[0]) > maxParameter {
			return Invalid(name, "must be there once, with at most %d bytes", maxParameter)
		}
		if values[0] == "" {
			continue // the same as absent
		}
		value := []byte(values[0])
		if k := members[i].Kind; isText(k) {
			value, _ = json.Marshal(values[0]) // a string always has a JSON form
		}
		if err := members[i].decode(value, v.FieldByIndex(members[i].index)); err != nil {
			return within(name, err)
		}
	}
	return missing(members, q.Has)
}

// maxParameter is the maximum length of a parameter's value, in bytes.
const maxParameter = 256

// Shorten returns the beginning of what a client wrote, for messages that repeat it.
func Shorten(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), 64)], "")
}
