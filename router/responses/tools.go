package responses

import (
	"fmt"

	"tallyroute/providers/jsonraw"
)

// tools are the elements of the member tools as the chat format nests them. Tools that run
// at the provider are an offer that a model may decline, and are made to nobody: lost has
// their types. Those of forced, which is tool_choice, pass as they are.
func (n names) tools(raw, forced []byte) (list [][]byte, lost []string, err error) {
	i := 0
	for t := range jsonraw.Elements(raw) {
		at := fmt.Sprintf("tools[%d]", i)
		i++
		switch kind := jsonraw.Text(jsonraw.Lookup(t, "type")); kind {
		case "function", "custom":
			nested, err := n.tool(t, "", at)
			if err != nil {
				return nil, nil, err
			}
			list = append(list, nested)
			continue
		case "namespace":
		case "":
			return nil, nil, wrong(at+".type", "must say what the tool is")
		default:
			if kind == jsonraw.Text(jsonraw.Lookup(forced, "type")) || jsonraw.Text(forced) == "required" {
				list = append(list, t)
			} else {
				lost = append(lost, "tools."+kind)
			}
			continue
		}
		for inner := range jsonraw.Elements(jsonraw.Lookup(t, "tools")) {
			nested, err := n.tool(inner, jsonraw.Text(jsonraw.Lookup(t, "name")), at)
			if err != nil {
				return nil, nil, err
			}
			list = append(list, nested)
		}
	}
	return list, lost, nil
}

func (n names) tool(t []byte, namespace, at string) ([]byte, error) {
	kind := jsonraw.Text(jsonraw.Lookup(t, "type"))
	if kind != "function" && kind != "custom" {
		return t, nil
	}
	name := jsonraw.Text(jsonraw.Lookup(t, "name"))
	if name == "" {
		return nil, wrong(at+".name", "must be the name of the tool")
	}
	var inner, o jsonraw.Object
	inner.Text("name", n.flat(namespace, name))
	for member, value := range jsonraw.Each(t) {
		switch string(member) {
		case "description", "parameters", "strict":
			inner.Raw(string(member), jsonraw.Present(value))
		case "format":
			inner.Raw("format", nestedFormat(value))
		}
	}
	o.Text("type", kind)
	o.Raw(kind, inner.Bytes())
	return o.Bytes(), nil
}

// nestedFormat is the format of a custom tool, whose grammar the chat format nests.
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

// choice is tool_choice as the chat format nests it.
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
