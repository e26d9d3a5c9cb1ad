// Package schema reduces JSON Schemas to the subset that a provider accepts. The package
// decides what becomes of each keyword; the adapter declares which keywords its provider
// accepts.
package schema

import (
	"bytes"
	"slices"
	"strings"

	"tallyroute/providers/jsonraw"
)

// Subset is the part of JSON Schema that a provider accepts.
type Subset struct {
	// Keywords lists the accepted keywords; nil means all. Any other keyword that constrains
	// values is moved into the description.
	Keywords []string
	Formats  []string // of strings; nil means all
	Inline   bool     // references are not supported
	Flat     bool     // no alternatives at the top level
	Closed   bool     // objects have no properties except those listed
	Scalars  bool     // an enum contains only strings and numbers
	FewItems bool     // minItems is 0 or 1
	Bare     bool     // schemas must not describe themselves: no $schema, $id or $comment
	Anchored bool     // patterns match whole texts and have no anchors
	Filled   bool     // objects require at least one of their properties
}

// Reduce returns raw reduced to s, and the keywords that are lost. It returns raw itself,
// byte for byte, if s accepts it.
func (s *Subset) Reduce(raw []byte) (reduced []byte, lost []string) {
	several := s.Flat && alternatives(raw)
	if !jsonraw.IsObject(raw) || !several && s.fits(raw, 0) {
		return raw, nil
	}
	r := reducer{s: s, root: raw, room: most + 16*len(raw)}
	if several {
		raw = r.flat(raw)
	}
	return r.schema(raw, nil), r.lost
}

// Limits on expanding references, without which a short schema could become an infinite one.
const (
	most    = 64 << 10 // bytes, in addition to 16 times the size of the schema
	deepest = 64
)

// annotations do not constrain values. Dropping one is not reported as a loss.
var annotations = []string{
	"$schema", "$id", "$comment", "$anchor", "$defs", "definitions", "title", "description", "default", "examples", "example", "deprecated",
	"readOnly", "writeOnly", "contentEncoding", "contentMediaType", "propertyOrdering",
}

// Where schemas occur within schemas.
var (
	inMaps  = []string{"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
	inLists = []string{"anyOf", "oneOf", "allOf", "prefixItems"}
	single  = []string{
		"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "additionalItems",
		"unevaluatedProperties", "unevaluatedItems",
	}
)

func has(list []string, name []byte) bool {
	for _, s := range list {
		if s == string(name) {
			return true
		}
	}
	return false
}

// takes reports whether a keyword may stay, judging by its name.
func (s *Subset) takes(name []byte) bool {
	if s.Keywords == nil {
		return !s.Bare || !has(labels, name)
	}
	return has(s.Keywords, name)
}

// labels lists the keywords with which a schema describes itself.
var labels = []string{"$schema", "$id", "$comment"}

// fits reports whether s accepts a schema as it is.
func (s *Subset) fits(raw []byte, depth int) bool {
	if !jsonraw.IsObject(raw) || depth > deepest {
		return s.Keywords == nil && depth <= deepest
	}
	closed := !s.Closed || !object(raw)
	required := jsonraw.Lookup(raw, "required")
	if s.Filled && (required == nil || jsonraw.IsEmptyArray(required)) && firstProperty(raw) != "" {
		return false
	}
	for name, value := range jsonraw.Each(raw) {
		switch {
		case string(name) == "$ref" && s.Inline, !s.takes(name) || !s.allows(name, value):
			return false
		case string(name) == "required" && s.Keywords != nil:
			if _, unlisted := listed(value, raw); unlisted {
				return false
			}
		case string(name) == "additionalProperties" && s.Closed:
			if closed = string(value) == "false"; !closed {
				return false
			}
		case has(inMaps, name):
			for _, inner := range jsonraw.Each(value) {
				if !s.fits(inner, depth+1) {
					return false
				}
			}
		case has(inLists, name):
			for inner := range jsonraw.Elements(value) {
				if !s.fits(inner, depth+1) {
					return false
				}
			}
		case has(single, name) && jsonraw.IsObject(value) && !s.fits(value, depth+1):
			return false
		}
	}
	return closed
}

// firstProperty returns the name of the first property; "" if there is none.
func firstProperty(raw []byte) string {
	for name := range jsonraw.Each(jsonraw.Lookup(raw, "properties")) {
		return string(name)
	}
	return ""
}

// object reports whether a schema describes objects.
func object(raw []byte) bool {
	return jsonraw.Text(jsonraw.Lookup(raw, "type")) == "object" || jsonraw.Lookup(raw, "properties") != nil
}

// listed returns the required names that are properties of the schema, and reports whether
// there are others, which grammars refuse.
func listed(required, schema []byte) (names [][]byte, unlisted bool) {
	properties := jsonraw.Lookup(schema, "properties")
	for name := range jsonraw.Elements(required) {
		if jsonraw.Lookup(properties, jsonraw.Text(name)) == nil {
			unlisted = true
			continue
		}
		names = append(names, name)
	}
	return names, unlisted
}

// allows reports whether a keyword may have a value.
func (s *Subset) allows(name, value []byte) bool {
	switch string(name) {
	case "format":
		return s.Formats == nil || slices.Contains(s.Formats, jsonraw.Text(value))
	case "minItems":
		return !s.FewItems || string(value) == "0" || string(value) == "1"
	case "pattern":
		return (s.Keywords == nil || simple(jsonraw.Text(value))) && (!s.Anchored || !strings.ContainsAny(jsonraw.Text(value), "^$"))
	case "enum":
		for v := range jsonraw.Elements(value) {
			if (s.Scalars || s.Keywords != nil && (v[0] == '{' || v[0] == '[')) && v[0] != '"' && (v[0] < '0' || v[0] > '9') &&
				v[0] != '-' {
				return false
			}
		}
	}
	return true
}

// simple reports whether a pattern is free of what grammars cannot express: lookaround, word
// boundaries and references to groups.
func simple(pattern string) bool {
	for _, no := range []string{"(?", `\b`, `\B`, `\1`, `\2`, `\3`, `\k`, `\p`} {
		if strings.Contains(pattern, no) {
			return false
		}
	}
	return true
}

// alternatives reports whether a schema combines several others.
func alternatives(raw []byte) bool {
	for name := range jsonraw.Each(raw) {
		if string(name) == "anyOf" || string(name) == "oneOf" || string(name) == "allOf" {
			return true
		}
	}
	return false
}

// Size is how much a schema takes of the room that some grammars have.
type Size struct {
	Properties int
	Optional   int // properties that are not required
	Unions     int // properties that may have several types
}

// Plus returns the size of two schemas together.
func (s Size) Plus(other Size) Size {
	return Size{s.Properties + other.Properties, s.Optional + other.Optional, s.Unions + other.Unions}
}

// SizeOf returns the size of a schema without references.
func SizeOf(raw []byte) Size { return sizeOf(raw, 0) }

func sizeOf(raw []byte, depth int) (s Size) {
	if !jsonraw.IsObject(raw) || depth > deepest {
		return s
	}
	required := jsonraw.Lookup(raw, "required")
	for name, value := range jsonraw.Each(raw) {
		switch {
		case has(inMaps, name):
			for key, inner := range jsonraw.Each(value) {
				if string(name) == "properties" {
					s = s.Plus(property(string(key), inner, required))
				}
				s = s.Plus(sizeOf(inner, depth+1))
			}
		case has(inLists, name):
			for inner := range jsonraw.Elements(value) {
				s = s.Plus(sizeOf(inner, depth+1))
			}
		case has(single, name):
			s = s.Plus(sizeOf(value, depth+1))
		}
	}
	return s
}

// property returns what one property adds, apart from its schema.
func property(name string, raw, required []byte) Size {
	s := Size{Properties: 1, Optional: 1}
	for r := range jsonraw.Elements(required) {
		if jsonraw.Text(r) == name {
			s.Optional = 0
		}
	}
	if jsonraw.IsArray(jsonraw.Lookup(raw, "type")) || jsonraw.Lookup(raw, "anyOf") != nil {
		s.Unions = 1
	}
	return s
}

// trimmed returns raw without surrounding white space.
func trimmed(raw []byte) []byte { return bytes.TrimSpace(raw) }
