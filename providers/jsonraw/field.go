package jsonraw

import (
	"strings"
	"unicode/utf8"
)

// Bounds of a body that is scanned, which no parser behind us should have to survive.
const (
	MaxDepth   = 64
	MaxMembers = 1000 // of one object
)

// Field is what is known of a value. Bodies are scanned along a tree of fields;
// what the tree does not name passes as it is.
type Field struct {
	Name     string
	Kinds    Kind // 0 is any
	Required int  // the first so many of Fields must be there
	Most     int  // members or elements, where there is a bound
	NoNUL    bool // neither the string nor its name may hold the character \u0000
	// Rule is what the value is read for; 0 is nothing. Rule and Need mean something
	// to the Reader alone.
	Rule, Need uint8
	Fields     []Field // members of the object, whose names are guarded against case variants
	Each       *Field  // the elements of the array, or of the object where their names are free
	Other      *Field  // members of the object that Fields does not name; nil is anything
	// Placed is set where the Reader is told where in the body the value lies.
	Placed bool
}

// anything is a value of which nothing is known.
var anything Field

// Member is the field of that name. A name that differs from a known one only
// by case is refused: some parsers, encoding/json among them, would take it for
// that one (and ſ for s), others would not.
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

// lower reports whether a name is in ASCII without capitals, and so cannot be
// another spelling of a known name.
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

// KindOf is the type of the value that begins with c; 0 where none does.
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

// String lists the types for a sentence: "a string, an array or null".
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
