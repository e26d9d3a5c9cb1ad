package responses

import (
	"slices"
	"strconv"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// Request is a Responses request converted to a chat completion request.
type Request struct {
	Body    []byte            // of the chat completion
	Native  *providers.Native // the request as it arrived
	Dropped []string          // members that have no place in the chat completion
	Kept    *Kept             // what to store along with the response; nil to store nothing

	asked   jsonraw.Index
	echo    jsonraw.Object // the members that responses repeat, once one was written
	names   names
	origins []string // of the messages of the chat completion

	previous string // id of the response that it continues from, if that was restored
}

// root describes the known members of a request: it guards their names, and says which are
// required.
var root = jsonraw.Field{Kinds: jsonraw.ObjectKind, Required: 2, Fields: []jsonraw.Field{
	{Name: "model", Kinds: jsonraw.StringKind},
	{Name: "input", Kinds: jsonraw.StringKind | jsonraw.ArrayKind},
	{Name: "instructions", Kinds: jsonraw.StringKind | jsonraw.NullKind},
	{Name: "stream", Kinds: jsonraw.BoolKind | jsonraw.NullKind},
	{Name: "max_output_tokens", Kinds: jsonraw.NumberKind | jsonraw.NullKind},
	{Name: "tools", Kinds: jsonraw.ArrayKind | jsonraw.NullKind},
	{Name: "text", Kinds: jsonraw.ObjectKind | jsonraw.NullKind},
	{Name: "reasoning", Kinds: jsonraw.ObjectKind | jsonraw.NullKind},
	{Name: "include", Kinds: jsonraw.ArrayKind | jsonraw.NullKind},
	{Name: "previous_response_id"},
	{Name: "conversation"},
	{Name: "background"},
	{Name: "store"},
}}

// Read reads a request within the limits l, continuing from what is stored in past; nil is
// none. Errors are *chat.FieldError and those of past.
func Read(body []byte, l chat.Limits, past *Past) (*Request, error) {
	return read(body, &root, l, past, nil)
}

func read(body []byte, root *jsonraw.Field, l chat.Limits, past *Past, check func(r *reader) error) (*Request, error) {
	index, fault := jsonraw.Scan(body, root, nil)
	if fault != nil {
		return nil, fault
	}
	r := reader{Request: &Request{names: names{}}, index: index, aside: aside{room: l.Room()}}
	if check != nil {
		if err := check(&r); err != nil {
			return nil, err
		}
	}
	body, err := r.restore(body, past)
	if err != nil {
		return nil, err
	}
	if err := r.read(); err != nil {
		return nil, err
	}
	r.native.Format, r.native.Body = providers.Responses, body
	r.Body, r.Native, r.Dropped, r.Request.origins = r.o.Bytes(), &r.native, r.dropped, r.aside.origins
	return r.Request, nil
}

type reader struct {
	*Request
	aside

	index jsonraw.Index
	o     jsonraw.Object
}

func (r *reader) get(name string) []byte { return jsonraw.Present(r.index.Get(name)) }

// restore inserts the conversation that a request continues from before its own items.
func (r *reader) restore(body []byte, past *Past) ([]byte, error) {
	if past == nil {
		return body, nil
	}
	previous := r.get("previous_response_id")
	if r.previous = jsonraw.Text(previous); previous != nil && r.previous == "" {
		return nil, &chat.FieldError{Code: "invalid_value", Param: "previous_response_id", Message: "must be the id of a response"}
	}
	keeps := string(r.get("store")) != "false" && !r.native.Unbounded()
	if !keeps && r.previous == "" {
		return body, nil
	}
	own := inputItems(r.get("input"))
	if keeps {
		r.Kept = &Kept{ID: past.ID, Previous: r.previous, Input: jsonraw.Array(own)}
	}
	if r.previous == "" {
		return body, nil
	}
	before, err := past.Conversation(r.previous)
	if err != nil {
		return nil, err
	}
	items := jsonraw.Member{Name: "input", Value: jsonraw.Array(slices.Concat(before, own))}
	body = r.index.Edit([]jsonraw.Member{items}, "previous_response_id").Bytes()
	index, fault := jsonraw.Scan(body, &root, nil)
	if fault != nil {
		return nil, fault
	}
	r.index = index
	return body, nil
}

func (r *reader) read() error {
	if err := r.stateless(); err != nil {
		return err
	}
	o := &r.o
	o.Raw("model", r.get("model"))
	tools, err := toolReader{&r.aside, r.names}.tools(r.get("tools"), r.get("tool_choice"))
	if err != nil {
		return err
	}
	c := conversation{aside: &r.aside, names: r.names, from: "instructions"}
	if instructions := r.get("instructions"); len(jsonraw.Inside(instructions)) > 0 {
		c.add("system", func(o *jsonraw.Object) { o.Raw("content", instructions) })
	}
	if err := c.input(r.get("input")); err != nil {
		return err
	}
	o.Raw("messages", jsonraw.Array(c.list))
	o.Array("tools", tools)
	if string(r.get("stream")) == "true" {
		o.Word("stream", "true")
		o.Word("stream_options", `{"include_usage":true}`)
	}
	r.settings(tools)
	r.asked = r.index
	return nil
}

// stateless refuses what would have to be stored.
func (r *reader) stateless() error {
	for _, name := range []string{"previous_response_id", "conversation", "prompt"} {
		if r.get(name) != nil {
			return unsupported(name, "is not served: nothing is kept for this key between requests; "+
				"send the items of the conversation in input, "+
				`and with include: ["reasoning.encrypted_content"] what the model needs of its reasoning comes back in them`)
		}
	}
	if string(r.get("background")) == "true" {
		return unsupported("background", "is not served; leave it out, and stream the answer if it takes long")
	}
	return nil
}

// settings writes the members that are not part of the conversation. Names that neither format
// knows are passed on unchanged, and what they may cost is judged as for any other member.
func (r *reader) settings(tools [][]byte) {
	for name, value := range r.index.Members() {
		if jsonraw.IsNull(value) {
			continue
		}
		switch n := string(name); n {
		case "model", "input", "instructions", "tools", "stream", "include", "background", "store":
		case "stream_options":
			r.others(value, n, n, []string{"include_usage", "include_obfuscation"})
		case "max_output_tokens":
			r.o.Raw("max_completion_tokens", value)
		case "tool_choice":
			if len(tools) > 0 {
				r.o.Raw(n, r.names.choice(value))
			}
		case "parallel_tool_calls":
			if len(tools) > 0 {
				r.o.Raw(n, value)
			}
		case "top_logprobs":
			r.o.Word("logprobs", "true")
			r.o.Raw(n, value)
		case "reasoning":
			for name, wish := range jsonraw.Each(value) {
				switch string(name) {
				case "effort":
					r.o.Raw("reasoning_effort", jsonraw.Present(wish))
				case "summary", "generate_summary": // reasoning is always shown as its summary
				default:
					r.lose("reasoning."+string(name), "reasoning."+string(name), wish)
				}
			}
		case "text":
			r.o.Raw("verbosity", jsonraw.Present(jsonraw.Lookup(value, "verbosity")))
			r.o.Raw("response_format", responseFormat(jsonraw.Lookup(value, "format")))
			r.others(value, "text", "text", []string{"verbosity", "format"})
		case "truncation":
			if jsonraw.Text(value) == "auto" {
				r.lose(n, n, value)
			}
		case "client_metadata", "context_management":
			r.lose(n, n, value)
		default:
			r.o.Raw(n, value)
		}
	}
}

// responseFormat returns text.format nested as in the chat format.
func responseFormat(format []byte) []byte {
	switch jsonraw.Text(jsonraw.Lookup(format, "type")) {
	case "json_schema":
		var schema, o jsonraw.Object
		for name, value := range jsonraw.Each(format) {
			if string(name) != "type" {
				schema.Raw(string(name), jsonraw.Present(value))
			}
		}
		o.Text("type", "json_schema")
		o.Raw("json_schema", schema.Bytes())
		return o.Bytes()
	case "json_object":
		return format
	}
	return nil
}

// strict returns the tools with the default made explicit for functions that do not say whether
// their arguments must match the schema.
func strict(tools []byte) []byte {
	var list [][]byte
	for t := range jsonraw.Elements(tools) {
		if jsonraw.Text(jsonraw.Lookup(t, "type")) == "function" {
			var more []jsonraw.Member
			for _, m := range []jsonraw.Member{{Name: "strict", Value: []byte("false")}, {Name: "parameters", Value: []byte("null")}} {
				if jsonraw.Lookup(t, m.Name) == nil {
					more = append(more, m)
				}
			}
			t = jsonraw.Edit(t, more)
		}
		list = append(list, t)
	}
	return jsonraw.Array(list)
}

// repeat writes the members of the request that a response repeats, with defaults for missing ones.
func (r *Request) repeat(o *jsonraw.Object) {
	for _, m := range []struct{ name, otherwise string }{
		{"instructions", "null"},
		{"max_output_tokens", "null"},
		{"metadata", "{}"},
		{"parallel_tool_calls", "true"},
		{"prompt_cache_key", ""},
		{"reasoning", `{"effort":null,"summary":null}`},
		{"safety_identifier", ""},
		{"temperature", "1"},
		{"text", `{"format":{"type":"text"}}`},
		{"tool_choice", `"auto"`},
		{"tools", "[]"},
		{"top_logprobs", "0"},
		{"top_p", "1"},
		{"truncation", `"disabled"`},
		{"user", ""},
	} {
		value := jsonraw.Present(r.asked.Get(m.name))
		switch {
		case m.name == "tools" && value != nil:
			value = strict(value)
		case value == nil && m.otherwise != "":
			value = []byte(m.otherwise)
		}
		o.Raw(m.name, jsonraw.Compact(value))
	}
	previous := []byte("null")
	if r.previous != "" {
		previous = jsonraw.Quote(r.previous)
	}
	o.Raw("previous_response_id", previous)
	o.Word("background", "false")
	o.Word("store", strconv.FormatBool(r.Kept != nil)) // regardless of what was asked
}

// owned maps members of a chat completion to their names here.
var owned = map[string]string{
	"messages": "input", "tools": "tools", "parameters": ".parameters",
	"max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens", "reasoning_effort": "reasoning.effort",
	"response_format": "text.format", "verbosity": "text.verbosity", "logprobs": "top_logprobs", "stream_options": "stream",
}

// Own returns the client's name for a member of the chat completion.
func (r *Request) Own(param string) string { return translate.Own(param, r.origins, owned) }

// Edits returns what a response says about its being stored, which a provider cannot know.
func (r *Request) Edits() []jsonraw.Member {
	var set []jsonraw.Member
	if r.Kept != nil {
		set = append(set, jsonraw.Member{Name: "id", Value: jsonraw.Quote(r.Kept.ID)}, jsonraw.Member{Name: "store", Value: []byte("true")})
	}
	if r.previous != "" {
		set = append(set, jsonraw.Member{Name: "previous_response_id", Value: jsonraw.Quote(r.previous)})
	}
	return set
}
