// Package schema brings JSON Schemas into the subset that a provider takes. It owns
// what becomes of each keyword; which of them a provider takes is its adapter's.
package schema

import (
	"bytes"
	"slices"
	"strings"

	"tallyroute/providers/jsonraw"
)

// Subset is what a provider takes of JSON Schema.
type Subset struct {
	// Keywords are those that it takes; nil is all. What says something about values
	// and is not among them goes into the description.
	Keywords []string
	Formats  []string // of strings, where not all
	Inline   bool     // there are no references
	Flat     bool     // no alternatives at the top
	Closed   bool     // objects have no properties but those that are listed
	Scalars  bool     // an enum holds only strings and numbers
	FewItems bool     // minItems is 0 or 1
}

// Reduce is raw as s takes it, and the keywords that are lost by it. It is raw itself,
// byte for byte, where s takes that.
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

// Bounds of what references are expanded to: without them a short schema could become
// an endless one.
const (
	most    = 64 << 10 // bytes, beside 16 times those of the schema
	deepest = 64
)

// annotations say nothing about values. What of them is not taken is not a loss.
var annotations = []string{
	"$schema", "$id", "$comment", "$anchor", "$defs", "definitions", "title", "description", "default", "examples", "example", "deprecated",
	"readOnly", "writeOnly", "contentEncoding", "contentMediaType", "propertyOrdering",
}

// Where schemas stand within schemas.
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

// takes reports a keyword that may stay by its name.
func (s *Subset) takes(name []byte) bool { return s.Keywords == nil || has(s.Keywords, name) }

// fits reports a schema that s takes as it is.
func (s *Subset) fits(raw []byte, depth int) bool {
	if !jsonraw.IsObject(raw) || depth > deepest {
		return s.Keywords == nil && depth <= deepest
	}
	closed := !s.Closed || !object(raw)
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

// object reports a schema of objects.
func object(raw []byte) bool {
	return jsonraw.Text(jsonraw.Lookup(raw, "type")) == "object" || jsonraw.Lookup(raw, "properties") != nil
}

// listed are those of the names that are required which are properties of the schema, and
// whether there are others, which grammars refuse.
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

// allows reports a value that a keyword may have.
func (s *Subset) allows(name, value []byte) bool {
	switch string(name) {
	case "format":
		return s.Formats == nil || slices.Contains(s.Formats, jsonraw.Text(value))
	case "minItems":
		return !s.FewItems || string(value) == "0" || string(value) == "1"
	case "pattern":
		return s.Keywords == nil || simple(jsonraw.Text(value))
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

// simple reports a pattern without what grammars cannot have: looking around, word
// boundaries and references to groups.
func simple(pattern string) bool {
	for _, no := range []string{"(?", `\b`, `\B`, `\1`, `\2`, `\3`, `\k`, `\p`} {
		if strings.Contains(pattern, no) {
			return false
		}
	}
	return true
}

// alternatives reports a schema that is several.
func alternatives(raw []byte) bool {
	for name := range jsonraw.Each(raw) {
		if string(name) == "anyOf" || string(name) == "oneOf" || string(name) == "allOf" {
			return true
		}
	}
	return false
}

// trimmed is raw without its white space at the ends.
func trimmed(raw []byte) []byte { return bytes.TrimSpace(raw) }
