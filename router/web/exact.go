package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// MemberError is an invalid member of a body.
type MemberError struct {
	Param   string // as a path; "" is the body itself
	Twice   bool   // it appears twice
	Strange bool   // no such member exists
	Detail  string // what it must be
}

// Error says what is wrong.
func (e *MemberError) Error() string { return "web: " + e.Param + " " + e.Detail }

// Exactly reads a body into the struct that into points to. Names match exactly, none may
// appear twice, and no others are accepted. It returns a *MemberError.
func Exactly(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if err := members(d, reflect.TypeOf(into).Elem(), ""); err != nil {
		return err
	}
	if d.More() {
		return &MemberError{Detail: "must be one object"}
	}
	if err := json.Unmarshal(body, into); err != nil {
		var kind *json.UnmarshalTypeError
		if !errors.As(err, &kind) {
			return &MemberError{Detail: "must be JSON"}
		}
		return &MemberError{Param: kind.Field, Detail: "must be " + described(kind.Type) + ", not " + kind.Value}
	}
	return nil
}

// described describes a type in words.
func described(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Slice:
		return "a list"
	default:
		return "an object"
	}
}

// members checks the names in the next value, which is to become a t.
func members(d *json.Decoder, t reflect.Type, at string) error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	token, err := d.Token()
	if err != nil {
		return &MemberError{Param: at, Detail: "must be JSON"}
	}
	switch token {
	case json.Delim('['):
		for i := 0; d.More(); i++ {
			if err := members(d, elementOf(t), fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case json.Delim('{'):
		seen := make(map[string]bool)
		for d.More() {
			token, err := d.Token()
			name, isName := token.(string)
			if err != nil || !isName {
				return &MemberError{Param: at, Detail: "must be JSON"}
			}
			path := strings.TrimPrefix(at+"."+name, ".")
			inner, known := memberOf(t, name)
			switch {
			case seen[name]:
				return &MemberError{Param: path, Twice: true, Detail: "is there twice"}
			case !known:
				return &MemberError{Param: path, Strange: true, Detail: "is not a member here"}
			}
			seen[name] = true
			if err := members(d, inner, path); err != nil {
				return err
			}
		}
	default:
		return nil
	}
	if _, err := d.Token(); err != nil { // the bracket that ends it
		return &MemberError{Param: at, Detail: "must be JSON"}
	}
	return nil
}

func elementOf(t reflect.Type) reflect.Type {
	if t != nil && t.Kind() == reflect.Slice {
		return t.Elem()
	}
	return nil
}

// memberOf returns the type of a member. In a value for anything but a struct or a map, every
// name is known: the value is refused because of its type.
func memberOf(t reflect.Type, name string) (inner reflect.Type, known bool) {
	switch {
	case t == nil:
		return nil, true
	case t.Kind() == reflect.Map:
		return t.Elem(), true
	case t.Kind() != reflect.Struct:
		return nil, true
	}
	for f := range t.NumField() {
		field := t.Field(f)
		if tag, _, _ := strings.Cut(field.Tag.Get("json"), ","); tag == name {
			return field.Type, true
		}
	}
	return nil, false
}
