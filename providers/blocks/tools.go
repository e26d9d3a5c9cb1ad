package blocks

import (
	"fmt"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Tool is a function that the model may call, or a tool of the provider's own.
type Tool struct {
	Name        jsonraw.Quoted
	Description jsonraw.Quoted // nil where there is none
	Schema      []byte         // of the arguments: a JSON Schema of type object
	Strict      []byte         // true or false, nil where the client does not say
	Cache       []byte
	Raw         []byte // of a tool that is no function; nil otherwise
}

// Choice says which tools the model may or must call.
type Choice struct {
	Mode   string         // "auto", "none", "required", "named"; "" is not said
	Name   jsonraw.Quoted // of the one, where Mode is named
	Serial bool           // at most one call at a time
}

// Tools reads tools, tool_choice and parallel_tool_calls. Where the choice allows
// some tools only, the others are not there. The error is a *chat.FieldError.
func Tools(r *chat.Request) ([]Tool, Choice, error) {
	if raw := r.Get("functions"); !jsonraw.IsNull(raw) {
		return nil, Choice{}, Unsupported("functions", "use tools")
	}
	var list []Tool
	i := 0
	for raw := range jsonraw.Elements(r.Tools()) {
		t, err := tool(raw, fmt.Sprintf("tools[%d]", i))
		if err != nil {
			return nil, Choice{}, err
		}
		list = append(list, t)
		i++
	}
	c, allowed, err := choice(r.Get("tool_choice"))
	if err != nil {
		return nil, Choice{}, err
	}
	c.Serial = string(r.Get("parallel_tool_calls")) == "false"
	if allowed != nil {
		list = only(list, allowed)
	}
	return list, c, nil
}

func tool(raw []byte, param string) (Tool, error) {
	var t Tool
	kind := "function"
	var function []byte
	for name, value := range jsonraw.Each(raw) {
		switch string(name) {
		case "type":
			kind = jsonraw.Text(value)
		case "function":
			function = value
		case "cache_control":
			if value[0] == '{' {
				t.Cache = value
			}
		}
	}
	if kind == "custom" && jsonraw.Lookup(raw, "custom") != nil {
		return t, Unsupported(param+".custom", "custom tools are not known to this provider")
	}
	if kind != "function" || function == nil {
		t.Raw = raw
		return t, nil
	}
	for name, value := range jsonraw.Each(function) {
		switch n := string(name); {
		case n == "name" && value[0] == '"':
			t.Name = value
		case n == "description" && len(jsonraw.Inside(value)) > 0:
			t.Description = value
		case n == "parameters" && value[0] == '{':
			t.Schema = value
		case n == "strict" && !jsonraw.IsNull(value):
			t.Strict = value
		case n == "cache_control" && value[0] == '{':
			t.Cache = value
		}
	}
	if len(t.Name) <= 2 {
		return t, Unsupported(param+".function.name", "must name the function")
	}
	t.Schema = objectSchema(t.Schema)
	return t, nil
}

// AnyInput is the schema of a function that does not say what it takes.
const AnyInput = `{"type":"object","properties":{}}`

// objectSchema is a schema that says that it is one of an object.
func objectSchema(schema []byte) []byte {
	if schema == nil {
		return []byte(AnyInput)
	}
	if kind := jsonraw.Lookup(schema, "type"); !jsonraw.IsNull(kind) {
		return schema
	}
	var w Writer
	w.Open('{')
	w.TextMember("type", "object")
	for name, value := range jsonraw.Each(schema) {
		if string(name) != "type" {
			w.Raw(append(append(jsonraw.Quote(string(name)), ':'), value...))
		}
	}
	w.Close('}')
	return w.Bytes()
}

// choice reads tool_choice. allowed are the names of the tools that may be used,
// nil where all may.
func choice(raw []byte) (c Choice, allowed []string, err error) {
	if jsonraw.IsNull(raw) {
		return c, nil, nil
	}
	word := jsonraw.Text(raw)
	if raw[0] == '{' {
		word = jsonraw.Text(jsonraw.Lookup(raw, "type"))
	}
	switch word {
	case "auto", "none", "required":
		c.Mode = word
	case "any":
		c.Mode = "required"
	case "function", "tool":
		c.Mode = "named"
		if c.Name = jsonraw.Lookup(raw, "function", "name"); c.Name == nil {
			c.Name = jsonraw.Lookup(raw, "name")
		}
		if len(jsonraw.Inside(c.Name)) == 0 {
			return c, nil, Unsupported("tool_choice.function.name", "must name a function")
		}
	case "allowed_tools":
		within := jsonraw.Lookup(raw, "allowed_tools")
		if c.Mode = jsonraw.Text(jsonraw.Lookup(within, "mode")); c.Mode != "required" {
			c.Mode = "auto"
		}
		allowed = []string{}
		for t := range jsonraw.Elements(jsonraw.Lookup(within, "tools")) {
			allowed = append(allowed, jsonraw.Text(jsonraw.Lookup(t, "function", "name")))
		}
	default:
		return c, nil, Unsupported("tool_choice", "must be auto, none, required or a function")
	}
	return c, allowed, nil
}

func only(list []Tool, allowed []string) []Tool {
	var kept []Tool
	for _, t := range list {
		for _, name := range allowed {
			if t.Raw == nil && t.Name.String() == name {
				kept = append(kept, t)
				break
			}
		}
	}
	return kept
}
