package jsonraw

import (
	"strings"
	"unicode/utf8"
)

// Limits on a scanned body, so that no parser further on has to cope with worse.
const (
	MaxDepth   = 64
	MaxMembers = 1000 // of one object
)

// Field describes a value. Bodies are scanned along a tree of fields; anything that the tree
// does not name is accepted as it is.
type Field struct {
	Name     string
	Kinds    Kind // 0 means any
	Required int  // how many of Fields, from the first, must be present
	Most     int  // the maximum number of members or elements; 0 means no limit
	NoNUL    bool // neither the string nor its name may contain the character \u0000
	// Rule is what the value is read for; 0 means nothing. Only the Reader interprets Rule
	// and Need.
	Rule, Need uint8
	Fields     []Field // members of the object, whose names are guarded against variants that differ in case
	Each       *Field  // the elements of the array, or the members of an object with arbitrary names
	Other      *Field  // members of the object that are not in Fields; nil accepts anything
	// Placed is set if the Reader needs the value's path in the body.
	Placed bool
}

// anything describes a value of which nothing is known.
var anything Field

// Member returns the field with the given name. A name that differs from a known one only in
// case is refused: some parsers, encoding/json among them, would accept it as that name (and
// ſ as s), others would not.
func (f *Field) Member(name []byte) (*Field, *FieldError) {
	for i := range f.Fields {
		if string(name) == f.Fields[i].Name {
			return &f.Fields[i], nil
		}
	}
	if len(f.Fields) > 0 && !lower(name) {
		for i := range f.Fields {
			if known := f.Fields[i].Name; strings.EqualFold(string(name), known) {
				return nil, &FieldError{Code: "duplicate_field", Message: "some parsers would read this name as " +
					string(Quote(known)) + "; write it like that"}
			}
		}
	}
	switch {
	case f.Each != nil && len(f.Fields) == 0:
		return f.Each, nil
	case f.Other != nil:
		return f.Other, nil
	}
	return &anything, nil
}

// lower reports whether a name is ASCII without capitals, and so cannot be another spelling
// of a known name.
func lower(name []byte) bool {
	for _, c := range name {
		if c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

// Kind is a set of JSON types.
type Kind uint8

// The types.
const (
	ObjectKind Kind = 1 << iota
	ArrayKind
	StringKind
	NumberKind
	BoolKind
	NullKind
)

// KindOf returns the type of a value that begins with c; 0 if no value does.
func KindOf(c byte) Kind {
	switch c {
	case '"':
		return StringKind
	case '{':
		return ObjectKind
	case '[':
		return ArrayKind
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return NumberKind
	case 't', 'f':
		return BoolKind
	case 'n':
		return NullKind
	}
	return 0
}

// String lists the types as part of a sentence: "a string, an array or null".
func (k Kind) String() string {
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
