package cohere

import (
	"slices"
	"strconv"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// path is that of chats below the base URL https://api.cohere.com.
const path = "/v2/chat"

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
	lost, err := translate.Options(x, e.options())
	if err != nil {
		return providers.Call{}, err
	}
	if err := e.finish(); err != nil {
		return providers.Call{}, err
	}
	call := providers.Call{Path: x.Target.Quirks.Path, Body: e.o.Bytes(), Dropped: slices.Concat(dropped, lost, c.Lost)}
	if call.Path == "" {
		call.Path = path
	}
	return call, nil
}

// encoder gathers the members of a request.
type encoder struct {
	x providers.Exchange
	c *translate.Conversation

	o         jsonraw.Object
	documents [][]byte
	only      []string // the functions that may be called, where not all may
	strict    bool     // one of the functions is
}

// finish writes what comes of several members.
func (e *encoder) finish() error {
	if n := translate.MaxOutput(e.x); n > 0 {
		e.o.Int("max_tokens", n)
	}
	if err := e.tools(); err != nil {
		return err
	}
	if effort := translate.ReadEffort(e.x.Request); effort.Asked {
		var o jsonraw.Object
		if effort.Level == "none" || effort.Budget == 0 {
			o.Text("type", "disabled")
		} else {
			o.Text("type", "enabled")
			if effort.Budget > 0 {
				o.Int("token_budget", effort.Budget)
			}
		}
		e.o.Raw("thinking", o.Bytes())
	}
	e.o.Array("documents", e.documents)
	e.o.Raw("stream", strconv.AppendBool(nil, e.x.Request.Stream()))
	return nil
}

// options are the top-level members that have a word in the format.
func (e *encoder) options() map[string]translate.Option {
	as := func(name string) translate.Option {
		return func(value []byte) error { e.o.Raw(name, value); return nil }
	}
	seen := func([]byte) error { return nil } // is read elsewhere
	return map[string]translate.Option{
		"temperature": e.within("temperature", "", "1"), "top_p": e.within("p", "0.01", "0.99"), "top_k": as("k"),
		"p": as("p"), "k": as("k"), "seed": as("seed"), "frequency_penalty": as("frequency_penalty"), "presence_penalty": as("presence_penalty"),
		"stop":        func(value []byte) error { e.o.Raw("stop_sequences", translate.Strings(value)); return nil },
		"safety_mode": as("safety_mode"), "citation_options": as("citation_options"), "priority": as("priority"),
		"strict_tools": as("strict_tools"),
		"documents": func(value []byte) error {
			for d := range jsonraw.Elements(value) {
				e.documents = append(e.documents, d)
			}
			return nil
		},
		"response_format": e.responseFormat,
		"tools":           seen, "tool_choice": e.toolChoice,
		"reasoning_effort": seen, "reasoning": seen, "thinking": seen,
		"n": func([]byte) error { return translate.Unsupported("must be 1: this model gives one choice") },
		"functions": func([]byte) error {
			return translate.Unsupported("is the old form of tools, which this model cannot be given; use tools")
		},
	}
}

// within is a number that Cohere takes between two bounds only. One beyond them is
// brought to the bound, which is told as if it had been dropped.
func (e *encoder) within(name, low, high string) translate.Option {
	return func(value []byte) error {
		v, err := strconv.ParseFloat(string(value), 64)
		if err != nil {
			return translate.Unsupported("must be a number")
		}
		for _, bound := range []struct {
			text string
			sign float64
		}{{low, -1}, {high, 1}} {
			b, err := strconv.ParseFloat(bound.text, 64)
			if err == nil && (v-b)*bound.sign > 0 {
				e.o.Raw(name, []byte(bound.text))
				return translate.ErrLost
			}
		}
		e.o.Raw(name, value)
		return nil
	}
}

func (e *encoder) responseFormat(value []byte) error {
	var o jsonraw.Object
	switch kind := jsonraw.Text(jsonraw.Lookup(value, "type")); kind {
	case "text", "":
		return nil
	case "json_object":
		o.Text("type", "json_object")
		o.Raw("json_schema", jsonraw.Present(jsonraw.Lookup(value, "schema")))
	case "json_schema":
		o.Text("type", "json_object")
		o.Raw("json_schema", jsonraw.Present(jsonraw.Lookup(value, "json_schema", "schema")))
	default:
		return translate.Unsupported("has a type that this model cannot be asked for")
	}
	e.o.Raw("response_format", o.Bytes())
	return nil
}

// toolChoice has words for all tools alone. A choice of some is one of all, where
// only these are declared.
func (e *encoder) toolChoice(value []byte) error {
	c, err := translate.ReadToolChoice(value)
	if err != nil {
		return err
	}
	e.only = c.Names
	if len(translate.Tools(e.x)) == 0 {
		return nil
	}
	switch c.Mode {
	case "required":
		e.o.Text("tool_choice", "REQUIRED")
	case "none":
		e.o.Text("tool_choice", "NONE")
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
		if len(e.only) > 0 && !slices.Contains(e.only, jsonraw.Text(jsonraw.Lookup(f, "name"))) {
			continue
		}
		list = append(list, e.function(f))
	}
	e.o.Array("tools", list)
	if e.strict && e.x.Request.Get("strict_tools") == nil {
		e.o.Raw("strict_tools", []byte("true"))
	}
	return nil
}

// function is a tool. Cohere is strict about all of them or none.
func (e *encoder) function(f []byte) []byte {
	var o, t jsonraw.Object
	parameters := []byte(`{"type":"object","properties":{}}`)
	for name, value := range jsonraw.Each(f) {
		switch value = jsonraw.Present(value); string(name) {
		case "name", "description":
			o.Raw(string(name), value)
		case "parameters":
			if jsonraw.IsObject(value) {
				parameters = value
			}
		case "strict":
			e.strict = e.strict || string(value) == "true"
		}
	}
	o.Raw("parameters", parameters)
	t.Text("type", "function")
	t.Raw("function", o.Bytes())
	return t.Bytes()
}
