package schema

import (
	"slices"
	"strconv"
	"strings"

	"tallyroute/providers/jsonraw"
)

// writer writes one schema.
type writer struct {
	*reducer

	within      []string
	o           jsonraw.Object
	description []byte
	notes       []string // what is lost, for the description
	closed      bool
	written     []string
}

func (w *writer) put(name string, value []byte) {
	if !slices.Contains(w.written, name) {
		w.written = append(w.written, name)
		w.o.Raw(name, value)
	}
}

// keyword writes one keyword of raw, or its replacement.
func (w *writer) keyword(name string, value, raw []byte) {
	switch {
	case name == "description":
		w.description = value
	case name == "type" && jsonraw.IsString(value) && string(jsonraw.Lookup(raw, "nullable")) == "true" && !w.s.takes([]byte("nullable")):
		w.put(name, jsonraw.Array([][]byte{value, []byte(`"null"`)}))
	case name == "required" && w.s.Keywords != nil && jsonraw.IsArray(value):
		names, unlisted := listed(value, raw)
		if unlisted {
			w.lose(name)
		}
		if len(names) > 0 || !unlisted && !w.s.Filled {
			w.put(name, jsonraw.Array(names))
		}
	case name == "additionalProperties" && w.closed:
		if string(value) != "false" {
			w.lose(name)
		}
	case !w.s.takes([]byte(name)):
		w.instead(name, value, raw)
	case !w.s.allows([]byte(name), value):
		if name == "enum" {
			w.scalars(name, value)
			return
		}
		if whole := anchored(jsonraw.Text(value)); name == "pattern" && w.s.Anchored && w.s.allows([]byte(name), whole) {
			w.put(name, whole)
			return
		}
		w.note(name, value)
	case slices.Contains(inMaps, name):
		if w.s.Inline && (name == "$defs" || name == "definitions") {
			return
		}
		var o jsonraw.Object
		for key, inner := range jsonraw.Each(value) {
			o.Raw(string(key), w.schema(inner, w.within))
		}
		w.put(name, o.Bytes())
	case slices.Contains(inLists, name):
		w.put(name, w.list(value))
	case slices.Contains(single, name) && (jsonraw.IsObject(value) || name == "items" && !jsonraw.IsArray(value)):
		w.put(name, w.schema(value, w.within))
	default:
		w.put(name, value)
	}
}

// anchored returns the pattern that whole texts match if a part of them matches the given one, or
// the given one if that is not certain.
func anchored(pattern string) []byte {
	rest, begin := strings.CutPrefix(pattern, "^")
	rest, end := strings.CutSuffix(rest, "$")
	if strings.Contains(rest, "|") || strings.HasSuffix(rest, `\`) {
		return jsonraw.Quote(pattern)
	}
	if !begin {
		rest = ".*" + rest
	}
	if !end {
		rest += ".*"
	}
	return jsonraw.Quote(rest)
}

func (w *writer) list(value []byte) []byte {
	var list [][]byte
	for inner := range jsonraw.Elements(value) {
		list = append(list, w.schema(inner, w.within))
	}
	return jsonraw.Array(list)
}

// instead writes an equivalent of a keyword that is not accepted, or notes that it is lost.
func (w *writer) instead(name string, value, raw []byte) {
	switch {
	case slices.Contains(annotations, name):
	case name == "const" && w.s.takes([]byte("enum")):
		if list := jsonraw.Array([][]byte{value}); w.s.allows([]byte("enum"), list) {
			w.put("enum", list)
			if kind := kindOf(value); kind != "" && jsonraw.Lookup(raw, "type") == nil {
				w.put("type", jsonraw.Quote(kind))
			}
			return
		}
		w.scalars(name, jsonraw.Array([][]byte{value}))
	case name == "oneOf" && w.s.takes([]byte("anyOf")) && jsonraw.Lookup(raw, "anyOf") == nil:
		w.put("anyOf", w.list(value))
	case name == "nullable": // read together with the type
	case name == "exclusiveMinimum" && w.bound("minimum", value, raw, 1):
	case name == "exclusiveMaximum" && w.bound("maximum", value, raw, -1):
	default:
		w.note(name, value)
	}
}

// scalars replaces an enum that has values other than strings and numbers. It writes the type
// if all values have the same one, and the strings or numbers if the only other value is null.
func (w *writer) scalars(name string, list []byte) {
	var kinds []string
	var kept [][]byte
	for v := range jsonraw.Elements(list) {
		kind := kindOf(v)
		if kind == "string" || kind == "number" {
			kept = append(kept, v)
		}
		if kind != "" && !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	w.note(name, list)
	if len(kinds) == 1 {
		w.put("type", jsonraw.Quote(kinds[0]))
	}
	if len(kept) > 0 && len(kinds) == 2 && slices.Contains(kinds, "null") {
		w.put("enum", jsonraw.Array(kept))
	}
}

// kindOf returns the type of a value.
func kindOf(value []byte) string {
	if len(value) == 0 {
		return ""
	}
	switch value[0] {
	case '"':
		return "string"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	case '{':
		return "object"
	case '[':
		return "array"
	}
	return "number"
}

// longest is the maximum length, in bytes, of a lost keyword's value in the description.
const longest = 200

// note moves a keyword into the description.
func (w *writer) note(name string, value []byte) {
	w.lose(name)
	if text := string(jsonraw.Compact(value)); len(text) <= longest {
		w.notes = append(w.notes, name+": "+text)
	}
}

// done completes the schema.
func (w *writer) done(raw []byte) []byte {
	if w.closed {
		w.put("additionalProperties", []byte("false"))
		if properties := jsonraw.Lookup(raw, "properties"); properties == nil || string(properties) == "{}" {
			w.emptied(raw)
		}
	}
	if first := firstProperty(raw); w.s.Filled && first != "" && !slices.Contains(w.written, "required") {
		w.lose("required")
		w.put("required", jsonraw.Array([][]byte{jsonraw.Quote(first)}))
	}
	text := jsonraw.Text(w.description)
	if len(w.notes) > 0 {
		if text != "" {
			text += " "
		}
		text += "(" + strings.Join(w.notes, ", ") + ")"
		w.put("description", jsonraw.Quote(text))
	} else if w.description != nil && w.s.takes([]byte("description")) {
		w.put("description", w.description)
	}
	return slices.Clone(w.o.Bytes())
}

// emptied reports the loss for an object that could have any properties and now has none.
func (w *writer) emptied(raw []byte) {
	if open := jsonraw.Lookup(raw, "additionalProperties"); string(open) != "false" {
		w.lose("additionalProperties")
	}
}

// bound writes an exclusive bound of an integer as an inclusive one.
func (w *writer) bound(name string, value, raw []byte, step int64) bool {
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || !w.s.takes([]byte(name)) || jsonraw.Text(jsonraw.Lookup(raw, "type")) != "integer" ||
		jsonraw.Lookup(raw, name) != nil {
		return false
	}
	w.put(name, strconv.AppendInt(nil, n+step, 10))
	return true
}
