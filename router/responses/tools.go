package responses

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// offers are tools that run at the provider, or find other tools, and that a model may decline:
// without them it still answers.
var offers = []string{"web_search", "web_search_preview", "image_generation", "tool_search", "programmatic_tool_calling"}

// offered reports whether a tool is one of them, whatever its date suffix.
func offered(kind string) bool {
	return slices.ContainsFunc(offers, func(o string) bool { return kind == o || strings.HasPrefix(kind, o+"_20") })
}

// toolReader reads the member tools.
type toolReader struct {
	*aside
	names names
}

// tools returns the elements of the member tools nested as in the chat format. Tools that run
// at the provider are left out of a chat if they are optional; otherwise the request cannot be
// made as a chat completion. Those in forced, which is tool_choice, are passed on unchanged.
func (r toolReader) tools(raw, forced []byte) (list [][]byte, err error) {
	i := 0
	for t := range jsonraw.Elements(raw) {
		if err := r.room.Take("tools"); err != nil {
			return nil, err
		}
		at := fmt.Sprintf("tools[%d]", i)
		i++
		switch kind := jsonraw.Text(jsonraw.Lookup(t, "type")); kind {
		case "function", "custom":
			nested, err := r.tool(t, "", at)
			if err != nil {
				return nil, err
			}
			list = append(list, nested)
			continue
		case "namespace":
		case "":
			return nil, wrong(at+".type", "must say what the tool is")
		default:
			if kind == "code_interpreter" || kind == jsonraw.Text(jsonraw.Lookup(forced, "type")) || jsonraw.Text(forced) == "required" {
				r.native.Foreign = cmp.Or(r.native.Foreign, hosted(at, kind))
				list = append(list, t)
				continue
			}
			r.note(chat.NotedTool, at, t)
			r.dropped = providers.Lose(r.dropped, "tools."+kind)
			if !offered(kind) {
				r.only(hosted(at, kind))
			}
			continue
		}
		for inner := range jsonraw.Elements(jsonraw.Lookup(t, "tools")) {
			if err := r.room.Take(at); err != nil {
				return nil, err
			}
			nested, err := r.tool(inner, jsonraw.Text(jsonraw.Lookup(t, "name")), at)
			if err != nil {
				return nil, err
			}
			list = append(list, nested)
		}
	}
	return list, nil
}

// hosted returns the error for a tool that runs at the provider.
func hosted(at, kind string) error {
	return unsupported(at, fmt.Sprintf("%q is a tool that only providers of the Responses API have", kind))
}

func (r toolReader) tool(t []byte, namespace, at string) ([]byte, error) {
	kind := jsonraw.Text(jsonraw.Lookup(t, "type"))
	if kind != "function" && kind != "custom" {
		return t, nil
	}
	name := jsonraw.Text(jsonraw.Lookup(t, "name"))
	if name == "" {
		return nil, wrong(at+".name", "must be the name of the tool")
	}
	var inner, o jsonraw.Object
	inner.Text("name", r.names.flat(namespace, name))
	for member, value := range jsonraw.Each(t) {
		switch string(member) {
		case "description", "parameters", "strict":
			inner.Raw(string(member), jsonraw.Present(value))
		case "format":
			inner.Raw("format", nestedFormat(value))
		case "type", "name":
		default:
			r.note("tools."+kind+"."+string(member), at+"."+string(member), value)
		}
	}
	o.Text("type", kind)
	o.Raw(kind, inner.Bytes())
	return o.Bytes(), nil
}

// nestedFormat returns the format of a custom tool, whose grammar the chat format nests.
func nestedFormat(format []byte) []byte {
	if jsonraw.Text(jsonraw.Lookup(format, "type")) != "grammar" || jsonraw.Lookup(format, "grammar") != nil {
		return jsonraw.Present(format)
	}
	var grammar, o jsonraw.Object
	grammar.Raw("syntax", jsonraw.Lookup(format, "syntax"))
	grammar.Raw("definition", jsonraw.Lookup(format, "definition"))
	o.Text("type", "grammar")
	o.Raw("grammar", grammar.Bytes())
	return o.Bytes()
}

// choice returns tool_choice nested as in the chat format.
func (n names) choice(raw []byte) []byte {
	if jsonraw.IsString(raw) {
		return raw
	}
	switch kind := jsonraw.Text(jsonraw.Lookup(raw, "type")); kind {
	case "function", "custom":
		return n.named(raw, kind)
	case "allowed_tools":
		var allowed, o jsonraw.Object
		allowed.Raw("mode", jsonraw.Lookup(raw, "mode"))
		var tools [][]byte
		for t := range jsonraw.Elements(jsonraw.Lookup(raw, "tools")) {
			tools = append(tools, n.named(t, jsonraw.Text(jsonraw.Lookup(t, "type"))))
		}
		allowed.Raw("tools", jsonraw.Array(tools))
		o.Text("type", kind)
		o.Raw("allowed_tools", allowed.Bytes())
		return o.Bytes()
	}
	return raw
}

func (n names) named(t []byte, kind string) []byte {
	if kind != "function" && kind != "custom" {
		return t
	}
	var o jsonraw.Object
	o.Text("type", kind)
	flat := n.flat(jsonraw.Text(jsonraw.Lookup(t, "namespace")), jsonraw.Text(jsonraw.Lookup(t, "name")))
	o.Raw(kind, jsonraw.One("name", jsonraw.Quote(flat)))
	return o.Bytes()
}
