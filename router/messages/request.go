package messages

import (
	"cmp"
	"strconv"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// Request is a Messages request converted to a chat completion request.
type Request struct {
	Body    []byte            // of the chat completion
	Native  *providers.Native // the request as it arrived
	Dropped []string          // members that have no place in the chat completion

	origins []string // positions of its messages in the original request
}

// root describes the known members of a request: it guards their names, and says which are
// required.
var root = jsonraw.Field{Kinds: jsonraw.ObjectKind, Required: 3, Fields: []jsonraw.Field{
	{Name: "model", Kinds: jsonraw.StringKind},
	{Name: "messages", Kinds: jsonraw.ArrayKind},
	{Name: "max_tokens", Kinds: jsonraw.NumberKind},
	{Name: "system", Kinds: jsonraw.StringKind | jsonraw.ArrayKind | jsonraw.NullKind},
	{Name: "stream", Kinds: jsonraw.BoolKind | jsonraw.NullKind},
	{Name: "tools", Kinds: jsonraw.ArrayKind | jsonraw.NullKind},
	{Name: "tool_choice", Kinds: jsonraw.ObjectKind | jsonraw.NullKind},
	{Name: "stop_sequences", Kinds: jsonraw.ArrayKind | jsonraw.NullKind},
	{Name: "metadata", Kinds: jsonraw.ObjectKind | jsonraw.NullKind},
	{Name: "thinking", Kinds: jsonraw.ObjectKind | jsonraw.NullKind},
	{Name: "output_config", Kinds: jsonraw.ObjectKind | jsonraw.NullKind},
}}

// unbounded is root without the bound on the answer, for requests that are not answered.
var unbounded = jsonraw.Field{Kinds: root.Kinds, Required: 2, Fields: root.Fields}

// Read reads a request within the limits l. Errors are *chat.FieldError.
func Read(body []byte, l chat.Limits) (Request, error) { return read(body, &root, l) }

// ReadCount reads a request whose tokens are to be counted.
func ReadCount(body []byte, l chat.Limits) (Request, error) { return read(body, &unbounded, l) }

func read(body []byte, root *jsonraw.Field, l chat.Limits) (Request, error) {
	index, fault := jsonraw.Scan(body, root, nil)
	if fault != nil {
		return Request{}, fault
	}
	r := reader{index: index}
	r.room = l.Room()
	if err := r.read(); err != nil {
		return Request{}, err
	}
	c := &r.conversation
	return Request{
		Body: r.o.Bytes(), Dropped: c.dropped, origins: c.origins,
		Native: &providers.Native{Format: providers.Messages, Body: body, Aside: c.noted, Foreign: c.alien},
	}, nil
}

type reader struct {
	conversation

	index jsonraw.Index
	o     jsonraw.Object
}

func (r *reader) get(name string) []byte { return jsonraw.Present(r.index.Get(name)) }

func (r *reader) read() error {
	o := &r.o
	o.Raw("model", r.get("model"))
	c := &r.conversation
	if err := c.system(r.get("system")); err != nil {
		return err
	}
	at := 0
	for raw := range jsonraw.Elements(r.get("messages")) {
		if err := r.room.Take("messages"); err != nil {
			return err
		}
		if err := c.turn(raw, at); err != nil {
			return err
		}
		at++
	}
	o.Key("messages")
	o.Value(jsonraw.Array(c.list))
	if err := r.tools(); err != nil {
		return err
	}
	if string(r.get("stream")) == "true" {
		o.Word("stream", "true")
		o.Word("stream_options", `{"include_usage":true}`)
	}
	if err := r.thinking(); err != nil {
		return err
	}
	r.settings()
	return nil
}

func (r *reader) tools() error {
	var tools [][]byte
	at := 0
	for raw := range jsonraw.Elements(r.get("tools")) {
		if err := r.room.Take("tools"); err != nil {
			return err
		}
		t, err := r.tool(raw, at)
		if err != nil {
			return err
		}
		tools = append(tools, t)
		at++
	}
	r.o.Array("tools", tools)
	if len(tools) == 0 && jsonraw.Text(jsonraw.Lookup(r.get("tool_choice"), "type")) != "tool" {
		return nil
	}
	return choice(&r.o, r.get("tool_choice"), r.get("tools"))
}

// settings writes the members that are not part of the conversation. Names that the chat format
// lacks are passed on unchanged: providers of the Messages API accept them, and what they may
// cost is judged as for any other member.
func (r *reader) settings() {
	for name, value := range r.index.Members() {
		if jsonraw.IsNull(value) {
			continue
		}
		switch n := string(name); n {
		case "model", "system", "messages", "tools", "tool_choice", "stream", "thinking", "output_config", "output_format":
		case "stop_sequences":
			if !jsonraw.IsEmptyArray(value) {
				r.o.Raw("stop", value)
			}
		case "metadata":
			r.o.Raw("user", jsonraw.Present(jsonraw.Lookup(value, "user_id")))
			r.note(n, n, value)
		case "service_tier":
			if jsonraw.Text(value) == "standard_only" {
				value = []byte(`"default"`)
			}
			r.o.Raw(n, value)
		case "context_management", "diagnostics", "user_profile_id":
			r.drop(n, n, value) // a preference about context management, in which we play no part
		default:
			r.o.Raw(n, value)
		}
	}
}

// thinking writes how much reasoning is wanted, and the format of the answer.
func (r *reader) thinking() error {
	config, thinking := r.get("output_config"), r.get("thinking")
	effort := jsonraw.Text(jsonraw.Lookup(config, "effort"))
	asked := effort
	switch jsonraw.Text(jsonraw.Lookup(thinking, "type")) {
	case "adaptive":
		effort = cmp.Or(asked, "high") // Anthropic's default
	case "enabled":
		effort = cmp.Or(asked, level(jsonraw.Lookup(thinking, "budget_tokens")))
	case "disabled":
		effort = ""
	default:
		if thinking != nil {
			return wrong("thinking.type", `must be "adaptive", "enabled" or "disabled"`)
		}
	}
	for _, m := range []jsonraw.Member{{Name: "thinking", Value: thinking}, {Name: "output_config", Value: config}} {
		if m.Value != nil {
			r.note(m.Name, m.Name, m.Value)
		}
	}
	r.o.Some("reasoning_effort", effort)
	format := jsonraw.Present(jsonraw.Lookup(config, "format"))
	if format == nil {
		format = r.get("output_format")
	}
	if jsonraw.Text(jsonraw.Lookup(format, "type")) == "json_schema" {
		var schema, o jsonraw.Object
		schema.Text("name", "answer")
		schema.Word("strict", "true")
		schema.Raw("schema", jsonraw.Lookup(format, "schema"))
		o.Text("type", "json_schema")
		o.Raw("json_schema", schema.Bytes())
		r.o.Raw("response_format", o.Bytes())
	}
	return nil
}

// level returns the effort that corresponds to a number of reasoning tokens.
func level(budget []byte) string {
	n, err := strconv.ParseInt(string(budget), 10, 64)
	switch {
	case err != nil:
		return "medium"
	case n <= 2048:
		return "low"
	case n <= 8192:
		return "medium"
	}
	return "high"
}

// names maps members of a chat completion to their names here.
var names = map[string]string{
	"messages": "messages", "tools": "tools", "parameters": ".input_schema",
	"max_tokens": "max_tokens", "max_completion_tokens": "max_tokens", "stop": "stop_sequences", "user": "metadata.user_id",
	"reasoning_effort": "output_config.effort", "response_format": "output_config.format",
	"parallel_tool_calls": "tool_choice.disable_parallel_tool_use", "stream_options": "stream",
}

// Own returns the client's name for a member of the chat completion.
func (r *Request) Own(param string) string { return translate.Own(param, r.origins, names) }
