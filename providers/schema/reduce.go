package schema

import (
	"slices"
	"strconv"
	"strings"

	"tallyroute/providers/jsonraw"
)

// reducer is the reduction of one schema.
type reducer struct {
	s    *Subset
	root []byte
	room int // bytes that may still be written
	lost []string
}

func (r *reducer) lose(name string) {
	if len(name) <= 40 && len(r.lost) < 16 && !slices.Contains(r.lost, name) {
		r.lost = append(r.lost, name)
	}
}

// anything is the schema that every value satisfies.
var anything = []byte("{}")

// schema returns a schema reduced to the subset. within holds the references that led to it.
func (r *reducer) schema(raw []byte, within []string) []byte {
	raw = trimmed(raw)
	if r.room -= len(raw); r.room < 0 || len(within) > deepest {
		r.lose("$ref")
		return anything
	}
	switch {
	case string(raw) == "true":
		if r.s.Keywords == nil {
			return raw
		}
		return anything
	case !jsonraw.IsObject(raw):
		if r.s.Keywords == nil {
			return raw
		}
		r.lose("false")
		return anything
	}
	if ref := jsonraw.Text(jsonraw.Lookup(raw, "$ref")); ref != "" && r.s.Inline {
		return r.referred(raw, ref, within)
	}
	if list := jsonraw.Lookup(raw, "allOf"); list != nil && !r.s.takes([]byte("allOf")) {
		return r.schema(r.merged(raw, list, within), within)
	}
	w := writer{reducer: r, within: within, closed: r.s.Closed && object(raw)}
	for name, value := range jsonraw.Each(raw) {
		w.keyword(string(name), value, raw)
	}
	return w.done(raw)
}

// referred returns the schema that a reference points to, merged with the keywords beside it.
func (r *reducer) referred(raw []byte, ref string, within []string) []byte {
	to := r.find(ref)
	if to == nil || slices.Contains(within, ref) {
		r.lose("$ref")
		to = anything
	}
	if jsonraw.IsObject(to) {
		to = overlaid(raw, to)
	}
	return r.schema(to, append(slices.Clip(within), ref))
}

// find returns what a reference within the schema points to; nil if there is nothing.
func (r *reducer) find(ref string) []byte {
	path, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil
	}
	at := r.root
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		switch {
		case part == "":
		case jsonraw.IsArray(at):
			n, err := strconv.Atoi(part)
			if err != nil {
				return nil
			}
			at = element(at, n)
		default:
			at = jsonraw.Lookup(at, part)
		}
		if at == nil {
			return nil
		}
	}
	return at
}

func element(array []byte, n int) []byte {
	for e := range jsonraw.Elements(array) {
		if n == 0 {
			return e
		}
		n--
	}
	return nil
}

// overlaid returns under with the members of over in place of its own, except over's
// reference and definitions.
func overlaid(over, under []byte) []byte {
	var o jsonraw.Object
	for name, value := range jsonraw.Each(over) {
		if n := string(name); n != "$ref" && n != "$defs" && n != "definitions" {
			o.Raw(n, value)
		}
	}
	mine := o.Bytes()
	for name, value := range jsonraw.Each(under) {
		if jsonraw.Lookup(mine, string(name)) == nil {
			o.Raw(string(name), value)
		}
	}
	return o.Bytes()
}

// merged returns a schema that combines raw with all schemas in a list.
func (r *reducer) merged(raw, list []byte, within []string) []byte {
	out := without(raw, "allOf")
	for part := range jsonraw.Elements(list) {
		if ref := jsonraw.Text(jsonraw.Lookup(part, "$ref")); ref != "" && !slices.Contains(within, ref) {
			if to := r.find(ref); jsonraw.IsObject(to) {
				part = overlaid(part, to)
			}
		}
		if jsonraw.IsObject(part) {
			out = joined(out, part)
		}
		if r.room -= len(out); r.room < 0 {
			r.lose("allOf")
			return out
		}
	}
	return out
}

// joined combines two schemas: the properties of both, and what either requires. For other
// keywords the first schema wins.
func joined(a, b []byte) []byte {
	var o jsonraw.Object
	for name, value := range jsonraw.Each(a) {
		other := jsonraw.Lookup(b, string(name))
		switch n := string(name); {
		case n == "properties" && other != nil:
			value = overlaid(value, other)
		case n == "required" && other != nil:
			value = union(value, other)
		}
		o.Raw(string(name), value)
	}
	for name, value := range jsonraw.Each(b) {
		if jsonraw.Lookup(a, string(name)) == nil {
			o.Raw(string(name), value)
		}
	}
	return o.Bytes()
}

func union(a, b []byte) []byte {
	var list [][]byte
	for _, array := range [][]byte{a, b} {
		for e := range jsonraw.Elements(array) {
			if !slices.ContainsFunc(list, func(x []byte) bool { return string(x) == string(e) }) {
				list = append(list, e)
			}
		}
	}
	return jsonraw.Array(list)
}

func without(object []byte, names ...string) []byte { return jsonraw.Edit(object, nil, names...) }

// flat returns a schema without alternatives at the top level: one object schema with the
// properties of all of them, requiring only what is required whichever alternative applies.
func (r *reducer) flat(raw []byte) []byte {
	out := raw
	for _, kind := range []string{"allOf", "anyOf", "oneOf"} {
		list := jsonraw.Lookup(out, kind)
		if list == nil {
			continue
		}
		if out = without(out, kind); kind == "allOf" {
			out = r.merged(out, list, nil)
			continue
		}
		r.lose(kind)
		for part := range jsonraw.Elements(list) {
			if to := r.find(jsonraw.Text(jsonraw.Lookup(part, "$ref"))); to != nil && jsonraw.Lookup(part, "$ref") != nil {
				part = to
			}
			if jsonraw.IsObject(part) && object(part) {
				out = joined(out, without(part, "required"))
			}
		}
	}
	return out
}
