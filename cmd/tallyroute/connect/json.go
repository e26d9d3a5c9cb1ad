package connect

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
)

// withComments returns the syntax of JSON that also allows comments and trailing commas.
func withComments() syntax { return syntax{readJSON, writeJSON, editJSON} }

// parseJSON parses a text. One that has only comments, or nothing, is an empty object.
func parseJSON(text []byte) (hujson.Value, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		text = nil
	}
	if v, err := hujson.Parse(slices.Concat(ended(text), []byte("{}\n"))); err == nil {
		return v, nil
	}
	return hujson.Parse(bytes.Clone(text)) // the value shares its bytes
}

func readJSON(text []byte) (object, error) {
	v, err := parseJSON(text)
	if err != nil {
		return nil, err
	}
	v.Standardize()
	all := object{}
	d := json.NewDecoder(bytes.NewReader(v.Pack()))
	d.UseNumber()
	if err := d.Decode(&all); err != nil {
		return nil, err
	}
	if all == nil { // null
		all = object{}
	}
	return all, nil
}

func writeJSON(all object) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(all)
	return b.Bytes(), err
}

// editJSON adds new members at the beginning of their objects.
func editJSON(text []byte, s setting) []byte {
	all, err := parseJSON(text)
	if err != nil {
		return text
	}
	inner := &all
	for depth, name := range s.path {
		in, ok := inner.Value.(*hujson.Object)
		if !ok {
			return text
		}
		n := slices.IndexFunc(in.Members, func(m hujson.ObjectMember) bool { return named(m) == name })
		switch {
		case n < 0:
			prepend(in, depth, name, nested(s.path[depth+1:], s.value))
			return all.Pack()
		case depth < len(s.path)-1:
			inner = &in.Members[n].Value
		case s.value == nil:
			in.Members = slices.Delete(in.Members, n, n+1)
			if n > 0 && n == len(in.Members) { // what follows the last value would have a comma in front
				last := &in.Members[n-1].Value
				in.AfterExtra, last.AfterExtra = slices.Concat(last.AfterExtra, in.AfterExtra), nil
			}
		default:
			in.Members[n].Value.Value = indented(s.value, depth+1)
		}
	}
	return all.Pack()
}

func named(m hujson.ObjectMember) string {
	name, _ := m.Name.Value.(hujson.Literal)
	return name.String()
}

// nested returns a value inside an object for each name of the path.
func nested(path []string, value any) any {
	for _, name := range slices.Backward(path) {
		value = object{name: value}
	}
	return value
}

func prepend(to *hujson.Object, depth int, name string, value any) {
	line := hujson.Extra("\n" + strings.Repeat("  ", depth))
	if len(to.Members) == 0 {
		to.AfterExtra = slices.Concat(to.AfterExtra, line)
	}
	to.Members = slices.Insert(to.Members, 0, hujson.ObjectMember{
		Name:  hujson.Value{BeforeExtra: slices.Concat(line, hujson.Extra("  ")), Value: hujson.String(name)},
		Value: hujson.Value{BeforeExtra: hujson.Extra(" "), Value: indented(value, depth+1)},
	})
}

// indented returns a value that is indented for the given depth.
func indented(value any, depth int) hujson.ValueTrimmed {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent(strings.Repeat("  ", depth), "  ")
	_ = e.Encode(value)             // strings, objects and lists always encode
	v, _ := hujson.Parse(b.Bytes()) // and what was encoded always parses
	return v.Value
}
