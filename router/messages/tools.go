package messages

import (
	"encoding/base64"
	"fmt"
	"strings"

	"tallyroute/providers/jsonraw"
)

// tool converts a tool to the chat format. Tools that run at Anthropic have no equivalent
// there, and are passed on unchanged.
func (a *aside) tool(raw []byte, at int) ([]byte, error) {
	kind := jsonraw.Text(jsonraw.Lookup(raw, "type"))
	if kind != "" && kind != "custom" {
		a.only(fmt.Sprintf("tools[%d]", at), kind)
		return raw, nil
	}
	if !jsonraw.IsString(jsonraw.Lookup(raw, "name")) {
		return nil, wrong(fmt.Sprintf("tools[%d].name", at), "must be the name of the tool")
	}
	var function, o jsonraw.Object
	for name, value := range jsonraw.Each(raw) {
		switch string(name) {
		case "name", "description", "strict":
			function.Raw(string(name), jsonraw.Present(value))
		case "input_schema":
			function.Raw("parameters", jsonraw.Present(value))
		case "type", "cache_control":
		default:
			a.drop("tools.custom."+string(name), fmt.Sprintf("tools[%d].%s", at, name), value)
		}
	}
	o.Text("type", "function")
	o.Raw("function", function.Bytes())
	o.Raw("cache_control", jsonraw.Present(jsonraw.Lookup(raw, "cache_control")))
	return o.Bytes(), nil
}

// choice writes tool_choice in the chat format.
func choice(o *jsonraw.Object, raw, tools []byte) error {
	if jsonraw.IsNull(raw) {
		return nil
	}
	switch kind := jsonraw.Text(jsonraw.Lookup(raw, "type")); kind {
	case "auto", "none":
		o.Text("tool_choice", kind)
	case "any":
		o.Text("tool_choice", "required")
	case "tool":
		if !declared(tools, jsonraw.Text(jsonraw.Lookup(raw, "name"))) {
			return wrong("tool_choice.name", "must be the name of one of tools")
		}
		var named jsonraw.Object
		named.Text("type", "function")
		named.Raw("function", jsonraw.One("name", jsonraw.Lookup(raw, "name")))
		o.Raw("tool_choice", named.Bytes())
	default:
		return wrong("tool_choice.type", `must be "auto", "any", "tool" or "none"`)
	}
	if string(jsonraw.Lookup(raw, "disable_parallel_tool_use")) == "true" {
		o.Word("parallel_tool_calls", "false")
	}
	return nil
}

// declared reports whether there is a tool with that name.
func declared(tools []byte, name string) bool {
	for t := range jsonraw.Elements(tools) {
		if jsonraw.Text(jsonraw.Lookup(t, "name")) == name && name != "" {
			return true
		}
	}
	return false
}

// packed is the prefix of encoded tool call ids. The Messages API allows only letters, digits, "_"
// and "-" in them, but some models use other characters and must get their own ids back.
const packed = "toolu_tr1_"

// packedID encodes the id of a tool call for a message, if necessary.
func packedID(id string) string {
	if !strings.ContainsFunc(id, notInID) {
		return id
	}
	return packed + base64.RawURLEncoding.EncodeToString([]byte(id))
}

// unpackedID returns the JSON of the id that the model gave to a tool call.
func unpackedID(raw []byte) []byte {
	if rest, ok := strings.CutPrefix(jsonraw.Text(raw), packed); ok {
		if id, err := base64.RawURLEncoding.DecodeString(rest); err == nil {
			return jsonraw.Quote(string(id))
		}
	}
	return raw
}

func notInID(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
}
