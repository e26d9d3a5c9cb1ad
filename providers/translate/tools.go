package translate

import (
	"slices"
	"strings"

	"tallyroute/providers"
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
	case !jsonraw.IsNull(kind) && !jsonraw.IsArray(kind):
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

// The tools that providers run themselves and that several formats have, under different names.
const (
	WebSearch     = "web_search"
	WebFetch      = "web_fetch"
	CodeExecution = "code_execution"
)

// hosted maps the types of these tools, without the version date, to the names above.
var hosted = map[string]string{
	"web_search": WebSearch, "web_search_preview": WebSearch, "google_search": WebSearch, "openrouter:web_search": WebSearch,
	"web_fetch": WebFetch, "url_context": WebFetch,
	"code_execution": CodeExecution, "code_interpreter": CodeExecution,
}

// Hosted is one of these tools. Values are JSON, nil if absent.
type Hosted struct {
	Kind             string
	Uses             int64 // maximum number of uses in one answer; 0 means no limit
	Allowed, Blocked []byte
	Location         []byte // city, region, country and timezone
	Context          []byte // how much of the results is read: low, medium or high
	Cache            []byte // cache_control

	lost []string // members that no other format has
}

// dated reports whether a type ends with a date in Anthropic's style.
func dated(kind string) bool {
	i := strings.LastIndexByte(kind, '_')
	return i > 0 && len(kind)-i == len("_20250305") && !strings.ContainsFunc(kind[i+1:], func(r rune) bool { return r < '0' || r > '9' })
}

// Anthropics reports whether a tool has one of Anthropic's own types, which end with the date of
// their version.
func (t Tool) Anthropics() bool { return dated(t.Type) }

// Hosted reads a tool in any provider's format. It returns false for tools that only one format
// has, and for settings that only the tool's own provider can honour: a tool must never reach
// further than its client allows.
func (t Tool) Hosted() (h Hosted, ok bool) {
	kind := t.Type
	switch {
	case dated(kind):
		kind = kind[:strings.LastIndexByte(kind, '_')]
	case len(kind) > len("_2025_08_26") && kind[len(kind)-len("_2025_08_26"):][:3] == "_20":
		kind = kind[:len(kind)-len("_2025_08_26")]
	}
	if h.Kind, ok = hosted[kind]; !ok {
		return Hosted{}, false
	}
	for name, value := range jsonraw.Each(t.Raw) {
		if value = jsonraw.Present(value); value == nil {
			continue
		}
		if string(name) == "parameters" || string(name) == "filters" {
			for inner, v := range jsonraw.Each(value) {
				h.read(string(inner), jsonraw.Present(v))
			}
			continue
		}
		if !h.read(string(name), value) {
			return Hosted{}, false
		}
	}
	return h, true
}

// read reads a setting. It returns false if the tool must not be used elsewhere without it.
func (h *Hosted) read(name string, value []byte) bool {
	var n Counter
	switch name {
	case "type", "name":
	case "max_uses":
		h.Uses = n.Take(value)
	case "allowed_domains":
		h.Allowed = value
	case "blocked_domains", "excluded_domains":
		h.Blocked = value
	case "user_location":
		h.Location = value
		if approximate := jsonraw.Lookup(value, "approximate"); approximate != nil {
			h.Location = approximate
		}
	case "search_context_size":
		h.Context = value
	case "cache_control":
		h.Cache = value
	case "external_web_access":
		return string(value) != "false"
	case "container": // other providers can't reach its files
		return jsonraw.IsObject(value) && jsonraw.Lookup(value, "file_ids") == nil
	default:
		h.lost = append(h.lost, name)
	}
	return true
}

// Lost records the settings that are lost, because the format has only the given ones.
func (h Hosted) Lost(r *Request, has ...string) {
	for _, m := range []struct {
		name string
		said bool
	}{
		{"max_uses", h.Uses > 0},
		{"user_location", h.Location != nil},
		{"search_context_size", h.Context != nil},
		{"cache_control", h.Cache != nil},
	} {
		if m.said && !slices.Contains(has, m.name) {
			r.Lose("tools." + m.name)
		}
	}
	for _, name := range h.lost {
		r.Lose("tools." + name)
	}
}

// HostedMembers returns the line for the settings of these tools, none of which has a price of its
// own.
func HostedMembers() providers.Line {
	var names []string
	for kind := range hosted {
		for _, member := range []string{
			"max_uses", "allowed_domains", "blocked_domains", "excluded_domains", "user_location", "search_context_size", "filters",
			"external_web_access", "search_content_types", "citations", "max_content_tokens", "use_cache", "container",
		} {
			names = append(names, "tools."+kind+"."+member)
		}
	}
	return providers.Free.Of(names...)
}
