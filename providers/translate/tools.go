package translate

import (
	"slices"

	"tallyroute/providers/jsonraw"
)

// Tool is an element of tools. Values are JSON, nil if absent.
type Tool struct {
	Raw               []byte // all of it
	Type              string // function, custom, or one of the provider's own tools
	Function          []byte // the object that describes a function or a custom tool; otherwise nil
	Name, Description []byte
	Parameters        []byte // of a function: a JSON Schema
	Strict            bool
	Cache             []byte // cache_control
}

// AnyInput is the schema of a function that does not declare its parameters.
const AnyInput = `{"type":"object","properties":{}}`

// Tools returns the elements of tools.
func (r *Request) Tools() ([]Tool, error) {
	var list []Tool
	for raw := range jsonraw.Elements(r.Exchange.Request.Tools()) {
		t := readTool(raw)
		if t.Function != nil && len(jsonraw.Inside(t.Name)) == 0 {
			return nil, under("tools", Unsupported("holds a function without a name"))
		}
		if t.Cache != nil && !r.format.Cache {
			r.Drop("tools.cache_control")
		}
		list = append(list, t)
	}
	return list, nil
}

func readTool(raw []byte) Tool {
	t := Tool{Raw: raw, Type: jsonraw.Text(jsonraw.Lookup(raw, "type")), Cache: cacheControl(raw)}
	for _, kind := range []string{"function", "custom"} {
		if f := jsonraw.Lookup(raw, kind); jsonraw.IsObject(f) && t.Function == nil {
			t.Type, t.Function = kind, f
		}
	}
	for name, value := range jsonraw.Each(t.Function) {
		switch string(name) {
		case "name":
			t.Name = value
		case "description":
			t.Description = jsonraw.Present(value)
		case "parameters":
			if jsonraw.IsObject(value) {
				t.Parameters = value
			}
		case "strict":
			t.Strict = string(value) == "true"
		case "cache_control":
			if jsonraw.IsObject(value) {
				t.Cache = value
			}
		}
	}
	return t
}

func cacheControl(object []byte) []byte {
	if raw := jsonraw.Lookup(object, "cache_control"); jsonraw.IsObject(raw) {
		return raw
	}
	return nil
}

// Functions returns the tools that may be called, for a format that has only functions.
func (r *Request) Functions(c ToolChoice) ([]Tool, error) {
	list, err := r.Tools()
	if err != nil {
		return nil, err
	}
	for _, t := range list {
		if t.Type != "function" {
			return nil, RefuseTool()
		}
	}
	return slices.DeleteFunc(list, func(t Tool) bool { return !c.Allows(t) }), nil
}

// RefuseCustom returns the error for a custom tool in a format that has none.
func RefuseCustom() error {
	return under("tools", Unsupported("holds a custom tool, which is not known to this provider"))
}

// RefuseTool returns the error for a tool that the format does not have.
func RefuseTool() error {
	return under("tools", Unsupported("contains a tool that is neither a function nor one that this provider runs itself"))
}

// CalledTools returns declarations of the functions that were called, of which only the names
// are known: some formats require functions in the history to be declared.
func (r *Request) CalledTools() []Tool {
	var list []Tool
	for _, name := range r.CalledNames() {
		list = append(list, Tool{Type: "function", Function: []byte("{}"), Name: jsonraw.Quote(name)})
	}
	return list
}

// ObjectSchema returns the schema of the function's parameters, made to say that it describes
// an object.
func (t Tool) ObjectSchema() []byte {
	switch kind := jsonraw.Lookup(t.Parameters, "type"); {
	case t.Parameters == nil:
		return []byte(AnyInput)
	case !jsonraw.IsNull(kind):
		return t.Parameters
	}
	var o jsonraw.Object
	o.Text("type", "object")
	for name, value := range jsonraw.Each(t.Parameters) {
		if string(name) != "type" {
			o.Raw(string(name), value)
		}
	}
	return o.Bytes()
}

// ToolChoice is what tool_choice asks for.
type ToolChoice struct {
	Mode  string   // "auto", "none" or "required"; "" if not given
	Names []string // the only functions that may be called; empty means any
}

// One returns the name of the one function that must be called, or "" if there is none.
func (c ToolChoice) One() string {
	if c.Mode == "required" && len(c.Names) == 1 {
		return c.Names[0]
	}
	return ""
}

// Allows reports whether the names permit a call of the tool.
func (c ToolChoice) Allows(t Tool) bool {
	return len(c.Names) == 0 || t.Function != nil && slices.Contains(c.Names, jsonraw.Text(t.Name))
}

// Choice reads tool_choice.
func (r *Request) Choice() (ToolChoice, error) {
	value := r.Member("tool_choice")
	if value == nil {
		return ToolChoice{}, nil
	}
	c, err := readToolChoice(value)
	return c, under("tool_choice", err)
}

// readToolChoice reads tool_choice in the forms that OpenAI, Anthropic and others use.
func readToolChoice(value []byte) (ToolChoice, error) {
	mode := jsonraw.Text(value)
	if jsonraw.IsObject(value) {
		mode = jsonraw.Text(jsonraw.Lookup(value, "type"))
	}
	switch mode {
	case "auto", "none", "required":
		return ToolChoice{Mode: mode}, nil
	case "any":
		return ToolChoice{Mode: "required"}, nil
	}
	for _, path := range [][]string{{"function", "name"}, {"custom", "name"}, {"name"}} {
		if name := jsonraw.Text(jsonraw.Lookup(value, path...)); name != "" {
			return ToolChoice{Mode: "required", Names: []string{name}}, nil
		}
	}
	if allowed := jsonraw.Lookup(value, "allowed_tools"); allowed != nil {
		c := ToolChoice{Mode: jsonraw.Text(jsonraw.Lookup(allowed, "mode"))}
		for tool := range jsonraw.Elements(jsonraw.Lookup(allowed, "tools")) {
			c.Names = append(c.Names, jsonraw.Text(jsonraw.Lookup(tool, "function", "name")))
		}
		if len(c.Names) > 0 && (c.Mode == "auto" || c.Mode == "required") {
			return c, nil
		}
	}
	return ToolChoice{}, Unsupported("is not a known choice of tools")
}
