package ollama

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// path is that of chats below the base URL http://localhost:11434.
const path = "/api/chat"

// Encode writes a chat call.
func (Adapter) Encode(x providers.Exchange) (providers.Call, error) {
	x, dropped := translate.Declared(x)
	c, err := translate.Read(x.Request)
	if err != nil {
		return providers.Call{}, err
	}
	e := encoder{x: x, c: c}
	e.o.Text("model", x.Target.Upstream)
	messages, err := e.messages()
	if err != nil {
		return providers.Call{}, err
	}
	e.o.Raw("messages", jsonraw.Array(messages))
	lost, err := translate.Options(x, e.members())
	if err != nil {
		return providers.Call{}, err
	}
	if err := e.finish(); err != nil {
		return providers.Call{}, err
	}
	// Some servers call a stream of lines application/json.
	call := providers.Call{Path: x.Target.Quirks.Path, Body: e.o.Bytes(), Dropped: slices.Concat(dropped, lost, c.Lost), JSONStream: true}
	if call.Path == "" {
		call.Path = path
	}
	return call, nil
}

// encoder gathers the members of a request.
type encoder struct {
	x providers.Exchange
	c *translate.Conversation

	o, options jsonraw.Object
	only       []string // the functions that may be called, where not all may
	silent     bool     // none may
}

// finish writes what comes of several members.
func (e *encoder) finish() error {
	if n := translate.MaxOutput(e.x); n > 0 {
		e.options.Int("num_predict", n)
	}
	if err := e.tools(); err != nil {
		return err
	}
	e.think()
	e.o.Object("options", e.options)
	e.o.Raw("stream", strconv.AppendBool(nil, e.x.Request.Stream()))
	return nil
}

// think says whether the model is to think. Only some models can be told how much.
func (e *encoder) think() {
	effort := translate.ReadEffort(e.x.Request)
	switch {
	case !effort.Asked:
	case effort.Level == "none" || effort.Budget == 0:
		e.o.Raw("think", []byte("false"))
	case strings.Contains(e.x.Target.Upstream, "gpt-oss") && levels[effort.Level] != "":
		e.o.Text("think", levels[effort.Level])
	default:
		e.o.Raw("think", []byte("true"))
	}
	if effort.Budget > 0 {
		e.c.Lose("reasoning.max_tokens")
	}
}

var levels = map[string]string{"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}

// members are the top-level members that have a word in the format.
func (e *encoder) members() map[string]translate.Option {
	top := func(name string) translate.Option {
		return func(value []byte) error { e.o.Raw(name, value); return nil }
	}
	seen := func([]byte) error { return nil } // is read elsewhere
	members := map[string]translate.Option{
		"stop":            func(value []byte) error { e.options.Raw("stop", translate.Strings(value)); return nil },
		"response_format": e.responseFormat, "format": top("format"), "keep_alive": top("keep_alive"),
		"logprobs": top("logprobs"), "top_logprobs": top("top_logprobs"),
		"options": func(value []byte) error {
			for name, v := range jsonraw.Each(value) {
				e.options.Raw(string(name), v)
			}
			return nil
		},
		"tools": seen, "tool_choice": e.toolChoice,
		"reasoning_effort": seen, "reasoning": seen, "thinking": seen,
		"n": func([]byte) error { return translate.Unsupported("must be 1: this model gives one choice") },
		"functions": func([]byte) error {
			return translate.Unsupported("is the old form of tools, which this model cannot be given; use tools")
		},
	}
	for _, name := range []string{
		"temperature", "top_p", "top_k", "min_p", "seed", "frequency_penalty", "presence_penalty", "repeat_penalty", "repeat_last_n",
		"num_ctx", "typical_p",
	} {
		members[name] = func(value []byte) error { e.options.Raw(name, value); return nil }
	}
	return members
}

func (e *encoder) responseFormat(value []byte) error {
	switch kind := jsonraw.Text(jsonraw.Lookup(value, "type")); kind {
	case "text", "":
		return nil
	case "json_object":
		e.o.Text("format", "json")
	case "json_schema":
		schema := jsonraw.Present(jsonraw.Lookup(value, "json_schema", "schema"))
		if schema == nil {
			schema = []byte(`"json"`)
		}
		e.o.Raw("format", schema)
	default:
		return translate.Unsupported("has a type that this model cannot be asked for")
	}
	return nil
}

// toolChoice is kept as far as leaving out tools can: that one must be called
// cannot be said.
func (e *encoder) toolChoice(value []byte) error {
	c, err := translate.ReadToolChoice(value)
	if err != nil {
		return err
	}
	e.only, e.silent = c.Names, c.Mode == "none"
	if c.Mode == "required" {
		return translate.ErrLost
	}
	return nil
}

func (e *encoder) tools() error {
	var list [][]byte
	for _, tool := range translate.Tools(e.x) {
		f := jsonraw.Lookup(tool, "function")
		if !jsonraw.IsObject(f) {
			return &chat.FieldError{Code: "unsupported_parameter", Param: "tools", Message: "holds a tool that is no function"}
		}
		if e.silent || len(e.only) > 0 && !slices.Contains(e.only, jsonraw.Text(jsonraw.Lookup(f, "name"))) {
			continue
		}
		var o jsonraw.Object
		for name, v := range jsonraw.Each(f) {
			if string(name) == "strict" {
				if string(v) == "true" {
					e.c.Lose("tools.strict")
				}
				continue
			}
			o.Raw(string(name), jsonraw.Present(v))
		}
		var t jsonraw.Object
		t.Text("type", "function")
		t.Raw("function", o.Bytes())
		list = append(list, t.Bytes())
	}
	e.o.Array("tools", list)
	return nil
}

// messages writes the conversation.
func (e *encoder) messages() ([][]byte, error) {
	var list [][]byte
	for i := range e.c.Turns {
		m, err := e.message(&e.c.Turns[i])
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

func (e *encoder) message(t *translate.Turn) ([]byte, error) {
	var o jsonraw.Object
	o.Text("role", t.Role)
	o.Text("content", t.PlainText())
	var images [][]byte
	for _, p := range t.Parts {
		switch {
		case p.Kind == translate.Text:
		case p.Kind != translate.Image:
			return nil, t.Refuse(p, "is neither text nor a picture, and this model can be given nothing else")
		case !p.Media.Inline():
			return nil, t.Refuse(p, "must carry its bytes as a data URL: this model fetches no pictures")
		default:
			images = append(images, jsonraw.Quote(string(p.Media.Data)))
			if p.Detail != "" && p.Detail != "auto" {
				e.c.Lose("messages.image_url.detail")
			}
		}
	}
	o.Array("images", images)
	if t.Role == "tool" {
		o.Some("tool_name", t.Called)
		o.Some("tool_call_id", t.CallID)
	}
	o.Some("thinking", t.Reasoning)
	if t.Reasoning == "" && len(t.Details) > 0 {
		e.c.Lose("messages.reasoning_details")
	}
	var calls [][]byte
	for _, call := range t.Calls {
		calls = append(calls, written(call))
	}
	o.Array("tool_calls", calls)
	return o.Bytes(), nil
}

// written is a call of the model. Its arguments are an object here.
func written(call translate.Call) []byte {
	arguments := []byte(translate.Arguments(call))
	if !json.Valid(arguments) || !jsonraw.IsObject([]byte(strings.TrimSpace(string(arguments)))) {
		arguments = jsonraw.One("arguments", jsonraw.Quote(call.Arguments))
	}
	var o, f jsonraw.Object
	f.Text("name", call.Name)
	f.Raw("arguments", arguments)
	o.Some("id", call.ID)
	o.Text("type", "function")
	o.Raw("function", f.Bytes())
	return o.Bytes()
}
