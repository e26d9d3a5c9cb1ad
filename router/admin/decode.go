package admin

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

// Inputs are structs whose tags say what is taken:
//
//	json:"name"       the member or parameter
//	required:"true"   which must be there
//	enum:"a,b"        and have one of these values
//	doc:"…"           and how the OpenAPI document describes it
//
// Names match exactly, none may come twice, and no other is accepted. The
// decoder of the standard library is more generous, which would let somebody
// believe that a limit is set when it is not.

// syntaxError is a body that is not one JSON object.
type syntaxError struct{ detail string }

func (e *syntaxError) Error() string { return "admin: " + e.detail }

// hint is what a value must be.
type hint string

func (h hint) Error() string { return "admin: " + string(h) }

func invalid(field, format string, args ...any) *billing.FieldError {
	return &billing.FieldError{Field: field, Code: codeInvalidValue, Detail: fmt.Sprintf(format, args...)}
}

// field is a member of an input.
type field struct {
	name     string
	required bool
	enum     []string
	doc      string
	nullable bool // in answers: null where a list has no meaning
	optional bool // in answers: left out where it is empty
	index    []int
	kind     reflect.Type
}

// fieldsOf are the members of a struct; those of embedded ones are its own.
func fieldsOf(t reflect.Type) (list []field) {
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		one := field{
			name: name, required: f.Tag.Get("required") == "true", doc: f.Tag.Get("doc"), nullable: f.Tag.Get("nullable") == "true",
			optional: strings.Contains(options, "omitempty"), index: f.Index, kind: f.Type,
		}
		if values := f.Tag.Get("enum"); values != "" {
			one.enum = strings.Split(values, ",")
		}
		list = append(list, one)
	}
	return list
}

func hasRequired(t reflect.Type) bool {
	return slices.ContainsFunc(fieldsOf(t), func(f field) bool { return f.required })
}

// decodeBody reads a JSON object into a struct.
func decodeBody(raw []byte, v reflect.Value) error {
	if !utf8.Valid(raw) {
		return &syntaxError{"it is not UTF-8"}
	}
	return decodeObject(raw, v)
}

func decodeObject(raw []byte, v reflect.Value) error {
	notObject := &syntaxError{"it is not a JSON object"}
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return notObject
	}
	members := fieldsOf(v.Type())
	seen := make(map[string]bool)
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		var value json.RawMessage
		if err != nil || !ok || d.Decode(&value) != nil {
			return notObject
		}
		if seen[name] {
			return &billing.FieldError{Field: shorten(name), Code: codeDuplicate, Detail: "appears twice"}
		}
		seen[name] = true
		i := slices.IndexFunc(members, func(f field) bool { return f.name == name })
		if i < 0 {
			return &billing.FieldError{Field: shorten(name), Code: codeUnknownField, Detail: "is not a member here"}
		}
		if err := members[i].decode(value, v.FieldByIndex(members[i].index)); err != nil {
			return within(name, err)
		}
	}
	if _, err := d.Token(); err != nil {
		return notObject
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return &syntaxError{"something follows the object"}
	}
	return missing(members, func(name string) bool { return seen[name] })
}

func missing(members []field, there func(string) bool) error {
	for _, f := range members {
		if f.required && !there(f.name) {
			return invalid(f.name, "is required")
		}
	}
	return nil
}

func (f field) decode(raw []byte, v reflect.Value) error {
	if err := decodeValue(raw, v); err != nil {
		return err
	}
	if f.enum != nil && !slices.Contains(f.enum, v.String()) {
		return hint("must be " + oneOf(f.enum))
	}
	return nil
}

func oneOf[S ~string](words []S) string {
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

// decodeValue reads a value of any type. Null is only for what can be absent.
func decodeValue(raw []byte, v reflect.Value) error {
	if own, ok := v.Addr().Interface().(json.Unmarshaler); ok {
		return own.UnmarshalJSON(raw)
	}
	if string(raw) == "null" {
		if v.Kind() != reflect.Pointer && v.Kind() != reflect.Slice && v.Kind() != reflect.Map {
			return hint("must not be null")
		}
		v.SetZero()
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return decodeValue(raw, v.Elem())
	case reflect.Struct:
		return decodeObject(raw, v)
	case reflect.Slice:
		return decodeList(raw, v)
	default:
	}
	if err := json.Unmarshal(raw, v.Addr().Interface()); err != nil {
		return hint("is of the wrong type")
	}
	return nil
}

func decodeList(raw []byte, v reflect.Value) error {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return hint("must be an array")
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		if err := decodeValue(item, v.Index(i)); err != nil {
			return within(fmt.Sprintf("[%d]", i), err)
		}
	}
	return nil
}

// within puts a name in front of the field of an error.
func within(name string, err error) error {
	var inner *billing.FieldError
	var syntax *syntaxError
	var must hint
	switch {
	case errors.As(err, &inner):
		if inner.Field != "" && inner.Field[0] != '[' {
			name += "."
		}
		return &billing.FieldError{Field: name + inner.Field, Code: inner.Code, Detail: inner.Detail}
	case errors.As(err, &syntax):
		return invalid(name, "must be an object")
	case errors.As(err, &must):
		return invalid(name, "%s", string(must))
	}
	return invalid(name, "is of the wrong type")
}

// decodeQuery reads the parameters of a query into a struct of texts and numbers. No
// others may be there, and none twice.
func decodeQuery(raw string, v reflect.Value) error {
	q, err := url.ParseQuery(raw)
	if err != nil {
		return &billing.FieldError{Field: "query", Code: codeInvalidValue, Detail: "cannot be read"}
	}
	members := fieldsOf(v.Type())
	for name, values := range q {
		i := slices.IndexFunc(members, func(f field) bool { return f.name == name })
		if i < 0 {
			return &billing.FieldError{Field: shorten(name), Code: codeUnknownParam, Detail: "is not a parameter here"}
		}
		if len(values) > 1 || len(values[0]) > maxParameter {
			return invalid(name, "must be there once, with at most %d bytes", maxParameter)
		}
		if values[0] == "" {
			continue // as good as not there
		}
		value := []byte(values[0])
		if k := members[i].kind; isText(k) {
			value, _ = json.Marshal(values[0]) // a string always has a JSON form
		}
		if err := members[i].decode(value, v.FieldByIndex(members[i].index)); err != nil {
			return within(name, err)
		}
	}
	return missing(members, q.Has)
}

// maxParameter is the longest value of a parameter in bytes.
const maxParameter = 256

func shorten(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), 64)], "")
}
