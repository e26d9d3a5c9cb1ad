package tokens

import (
	"bytes"

	"tallyroute/providers/jsonraw"
)

// The cost of a tool's parameters besides their text, according to OpenAI's cookbook.
const (
	propertiesStart = 3
	property        = 3
	enumStart       = -3
	enumItem        = 3
)

// tools counts tool definitions, each in the named member of its element or, without a name,
// the element itself. OpenAI renders them in a format of its own, for which its cookbook gives
// a formula: flat parameters with a type, a description and perhaps an enum. Anything beyond
// that is counted as it stands, which is longer.
func (s *session) tools(raw []byte, member string) tally {
	a := tally{fixed: s.rules.tools, inexact: true}
	none := true
	for element := range jsonraw.Elements(raw) {
		none = false
		function := element
		if member != "" {
			function = jsonraw.Lookup(element, member)
		}
		a.fixed += s.rules.tool
		if function == nil {
			a.add(s.verbatim(element))
			continue
		}
		a.add(s.function(function))
	}
	if none {
		return tally{}
	}
	return a
}

// function counts one definition.
func (s *session) function(raw []byte) tally {
	var a tally
	var name, description []byte
	for member, value := range jsonraw.Each(raw) {
		switch string(member) {
		case "name":
			name = jsonraw.Quoted(value).Bytes()
		case "description":
			description = jsonraw.Quoted(value).Bytes()
		case "parameters":
			a.add(s.parameters(value))
		case "strict":
		default:
			a.add(s.verbatim(value))
		}
	}
	a.add(s.count(line(name, description)))
	return a
}

// parameters counts a schema.
func (s *session) parameters(schema []byte) tally {
	var a tally
	for member, value := range jsonraw.Each(schema) {
		switch string(member) {
		case "type", "required", "additionalProperties", "$schema", "title":
		case "properties":
			a.add(s.properties(value))
		default:
			a.add(s.verbatim(value))
		}
	}
	return a
}

func (s *session) properties(raw []byte) tally {
	var a tally
	for name, schema := range jsonraw.Each(raw) {
		if a.fixed == 0 {
			a.fixed = propertiesStart
		}
		a.fixed += property
		a.add(s.property(name, schema))
	}
	return a
}

// property counts one parameter.
func (s *session) property(name, schema []byte) tally {
	var a tally
	var kind, description []byte
	for member, value := range jsonraw.Each(schema) {
		switch m := string(member); {
		case m == "type" && value[0] == '"':
			kind = jsonraw.Quoted(value).Bytes()
		case m == "description" && value[0] == '"':
			description = jsonraw.Quoted(value).Bytes()
		case m == "enum":
			a.fixed += enumStart
			for item := range jsonraw.Elements(value) {
				a.fixed += enumItem
				a.add(s.count(unquoted(item)))
			}
		default:
			rest := s.count(name)
			rest.add(s.verbatim(schema))
			return rest
		}
	}
	a.add(s.count(line(name, kind, description)))
	return a
}

// line joins words as the cookbook does, without the full stop of the last one.
func line(words ...[]byte) []byte {
	return bytes.TrimSuffix(bytes.Join(words, []byte(":")), []byte("."))
}

// unquoted returns the text of a string, and anything else as it stands.
func unquoted(value []byte) []byte {
	if value[0] == '"' {
		return jsonraw.Quoted(value).Bytes()
	}
	return value
}
