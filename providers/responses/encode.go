package responses

import (
	"cmp"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// path is the endpoint below a base URL, unless the target's quirks say otherwise.
const path = "/responses"

// least is the lowest limit on the output that the API accepts, in tokens.
const least = 16

var errLeast = &chat.FieldError{Code: "invalid_value", Param: "max_completion_tokens", Message: "must be at least 16 for this model"}

// Encode writes a call to the Responses API.
func (completions) Encode(x providers.Exchange) (providers.Call, error) {
	if x.Native != nil {
		return native(x)
	}
	format := translate.Format{Path: path, Tools: true, Effort: true, Reasoning: true}
	return translate.Encode(x, format, func(r *translate.Request) ([]byte, error) {
		e := encoder{Request: r, custom: make(map[string]bool)}
		err := e.write()
		return e.o.Bytes(), err
	})
}

// encoder collects the members of a request.
type encoder struct {
	*translate.Request

	o, text, reasoning jsonraw.Object
	tools, include     [][]byte
	custom             map[string]bool // IDs of calls to custom tools, from the turns so far
	stored             bool            // the client says whether the response is stored
}

func (e *encoder) write() error {
	e.o.Text("model", e.Model())
	input, err := e.input()
	if err != nil {
		return err
	}
	e.o.Raw("input", jsonraw.Array(input))
	if err := e.Options(e.options()); err != nil {
		return err
	}
	if n := e.Bound(); n > 0 {
		if n < least {
			return errLeast
		}
		e.o.Int("max_output_tokens", n)
	}
	tools, err := e.Tools()
	if err != nil {
		return err
	}
	for _, tool := range tools {
		t, err := e.tool(tool)
		if err != nil {
			return err
		}
		e.tools = append(e.tools, t)
	}
	e.effort()
	e.o.Array("tools", e.tools)
	e.o.Object("text", e.text)
	e.o.Object("reasoning", e.reasoning)
	if !e.stored && !e.Stored {
		e.o.Word("store", "false")
	}
	e.o.Array("include", e.include)
	if e.Stream() {
		e.o.Word("stream", "true")
		if v := jsonraw.Present(jsonraw.Lookup(e.Member("stream_options"), "include_obfuscation")); v != nil {
			e.o.Raw("stream_options", jsonraw.One("include_obfuscation", v))
		}
	}
	return nil
}

// effort asks for reasoning and for what is needed to continue from it. The latter is left
// out for models that do not reason, which refuse it.
func (e *encoder) effort() {
	effort := e.Effort()
	e.reasoning.Some("effort", effort.Level)
	if effort.Budget > 0 {
		e.Lose("reasoning.max_tokens")
	}
	e.reasoning.Raw("summary", jsonraw.Present(jsonraw.Lookup(e.Member("reasoning"), "summary")))
	if effort.Asked && effort.Level != "none" || e.Target.Can.Reasoning {
		e.include = append(e.include, []byte(encrypted))
	}
}

// options returns the handlers of the top-level members that the format can express.
func (e *encoder) options() map[string]translate.Option {
	same := func(name string) translate.Option {
		return func(value []byte) error { e.o.Raw(name, value); return nil }
	}
	options := map[string]translate.Option{
		"response_format": e.responseFormat,
		"verbosity":       func(value []byte) error { e.text.Raw("verbosity", value); return nil },
		"tool_choice":     e.toolChoice, "web_search_options": e.webSearch,
		"logprobs": func([]byte) error {
			e.include = append(e.include, []byte(`"message.output_text.logprobs"`))
			return nil
		},
		"store": func(value []byte) error { e.stored = true; e.o.Raw("store", value); return nil },
	}
	for _, name := range []string{
		"temperature", "top_p", "top_logprobs", "parallel_tool_calls", "user", "safety_identifier", "metadata", "service_tier",
		"prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "moderation",
		"truncation", "max_tool_calls", "prompt", "previous_response_id",
	} {
		options[name] = same(name)
	}
	return options
}

func (e *encoder) responseFormat(value []byte) error {
	if jsonraw.Text(jsonraw.Lookup(value, "type")) != "json_schema" {
		e.text.Raw("format", value)
		return nil
	}
	o := jsonraw.Object{}
	o.Text("type", "json_schema")
	for name, v := range jsonraw.Each(jsonraw.Lookup(value, "json_schema")) {
		o.Raw(string(name), v)
	}
	e.text.Raw("format", o.Bytes())
	return nil
}

// webSearch becomes a tool here. What the chat format nests is flat.
func (e *encoder) webSearch(value []byte) error {
	var o jsonraw.Object
	o.Text("type", "web_search_preview")
	for name, v := range jsonraw.Each(value) {
		switch string(name) {
		case "search_context_size":
			o.Raw("search_context_size", v)
		case "user_location":
			var at jsonraw.Object
			at.Text("type", "approximate")
			for place, where := range jsonraw.Each(jsonraw.Lookup(v, "approximate")) {
				at.Raw(string(place), where)
			}
			o.Raw("user_location", at.Bytes())
		default:
			e.Lose("web_search_options." + string(name))
		}
	}
	e.tools = append(e.tools, o.Bytes())
	return nil
}

// tool writes a tool.
func (e *encoder) tool(t translate.Tool) ([]byte, error) {
	foreign := t.Anthropics() || strings.Contains(t.Type, ":") || t.Type == "google_search" || t.Type == "url_context"
	if t.Function != nil || !foreign {
		return flatTool(t)
	}
	h, ok := t.Hosted()
	if !ok || h.Kind == translate.WebFetch || h.Blocked != nil {
		return nil, translate.RefuseTool()
	}
	var o jsonraw.Object
	if h.Kind == translate.CodeExecution {
		o.Text("type", "code_interpreter")
		o.Raw("container", []byte(`{"type":"auto"}`))
		h.Lost(e.Request)
		return o.Bytes(), nil
	}
	o.Text("type", "web_search")
	if h.Allowed != nil {
		o.Raw("filters", jsonraw.One("allowed_domains", h.Allowed))
	}
	o.Raw("user_location", h.Location)
	o.Raw("search_context_size", h.Context)
	if h.Uses > 0 && e.Member("max_tool_calls") == nil {
		e.o.Int("max_tool_calls", h.Uses)
	}
	h.Lost(e.Request, "max_uses", "user_location", "search_context_size")
	return o.Bytes(), nil
}

// flatTool writes a tool, which is strict unless it says otherwise. OpenAI's own tools pass
// through.
func flatTool(t translate.Tool) ([]byte, error) {
	if t.Function == nil {
		if t.Type == "" {
			return nil, &chat.FieldError{
				Code: "unsupported_parameter", Param: "tools",
				Message: "contains a tool without a type",
			}
		}
		return t.Raw, nil
	}
	var o jsonraw.Object
	o.Text("type", t.Type)
	strict := "false"
	for name, v := range jsonraw.Each(t.Function) {
		switch string(name) {
		case "parameters":
		case "strict":
			strict = cmp.Or(string(jsonraw.Present(v)), "false")
		case "format":
			o.Raw("format", grammar(v))
		default:
			o.Raw(string(name), v)
		}
	}
	if t.Type == "function" {
		if t.Parameters == nil {
			t.Parameters = []byte(translate.AnyInput)
		}
		o.Raw("parameters", t.Parameters)
		o.Word("strict", strict)
	}
	return o.Bytes(), nil
}

// grammar returns the format of a custom tool, which is nested in the chat format.
func grammar(format []byte) []byte {
	inner := jsonraw.Lookup(format, "grammar")
	if !jsonraw.IsObject(inner) {
		return format
	}
	var o jsonraw.Object
	o.Text("type", "grammar")
	for name, v := range jsonraw.Each(inner) {
		o.Raw(string(name), v)
	}
	return o.Bytes()
}

// toolChoice writes a word, or names what may be called without nesting it.
func (e *encoder) toolChoice(value []byte) error {
	if value[0] == '"' {
		if jsonraw.Text(value) == "any" { // Mistral's name for "required"
			value = []byte(`"required"`)
		}
		e.o.Raw("tool_choice", value)
		return nil
	}
	if allowed := jsonraw.Lookup(value, "allowed_tools"); allowed != nil {
		var o jsonraw.Object
		o.Text("type", "allowed_tools")
		o.Raw("mode", jsonraw.Lookup(allowed, "mode"))
		var tools [][]byte
		for tool := range jsonraw.Elements(jsonraw.Lookup(allowed, "tools")) {
			tools = append(tools, flat(tool))
		}
		o.Raw("tools", jsonraw.Array(tools))
		e.o.Raw("tool_choice", o.Bytes())
		return nil
	}
	e.o.Raw("tool_choice", flat(value))
	return nil
}

// flat turns {"type":"function","function":{"name":…}} into {"type":"function","name":…}.
func flat(choice []byte) []byte {
	for _, kind := range []string{"function", "custom"} {
		if name := jsonraw.Lookup(choice, kind, "name"); name != nil {
			var o jsonraw.Object
			o.Text("type", kind)
			o.Raw("name", name)
			return o.Bytes()
		}
	}
	return choice
}
