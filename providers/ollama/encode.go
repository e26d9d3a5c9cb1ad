package ollama

import (
	"strconv"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// path is the chat endpoint below the base URL http://localhost:11434.
const path = "/api/chat"

// Encode writes a chat call.
func (completions) Encode(x providers.Exchange) (providers.Call, error) {
	// Some servers send a stream of lines as application/json.
	format := translate.Format{Path: path, Tools: true, Effort: true, Reasoning: true, JSONStream: true}
	return translate.Encode(x, format, func(r *translate.Request) ([]byte, error) {
		e := encoder{Request: r}
		err := e.write()
		return e.o.Bytes(), err
	})
}

// encoder collects the members of a request.
type encoder struct {
	*translate.Request

	o, options jsonraw.Object
}

func (e *encoder) write() error {
	e.o.Text("model", e.Model())
	if err := e.messages(); err != nil {
		return err
	}
	if err := e.Options(e.members()); err != nil {
		return err
	}
	if n := e.Bound(); n > 0 {
		e.options.Int("num_predict", n)
	}
	if err := e.tools(); err != nil {
		return err
	}
	e.think()
	e.o.Object("options", e.options)
	e.o.Raw("stream", strconv.AppendBool(nil, e.Stream()))
	return nil
}

// think sets whether the model is to think. Only some models can be told how much.
func (e *encoder) think() {
	effort := e.Effort()
	switch {
	case !effort.Asked:
	case effort.Level == "none":
		e.o.Word("think", "false")
	case strings.Contains(e.Model(), "gpt-oss") && levels[effort.Level] != "":
		e.o.Text("think", levels[effort.Level])
	default:
		e.o.Word("think", "true")
	}
	if effort.Budget > 0 {
		e.Lose("reasoning.max_tokens")
	}
}

var levels = map[string]string{"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}

// members returns the handlers of the top-level members that the format can express.
func (e *encoder) members() map[string]translate.Option {
	top := func(name string) translate.Option {
		return func(value []byte) error { e.o.Raw(name, value); return nil }
	}
	members := map[string]translate.Option{
		"stop":            func(value []byte) error { e.options.Array("stop", translate.Strings(value)); return nil },
		"response_format": e.responseFormat, "format": top("format"), "keep_alive": top("keep_alive"),
		"logprobs": top("logprobs"), "top_logprobs": top("top_logprobs"),
		"options": func(value []byte) error {
			for name, v := range jsonraw.Each(value) {
				e.options.Raw(string(name), v)
			}
			return nil
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
	f, err := translate.ReadAnswerFormat(value)
	switch {
	case err != nil || !f.JSON:
	case f.Schema != nil:
		e.o.Raw("format", f.Schema)
	default:
		e.o.Text("format", "json")
	}
	return err
}

// tools writes the functions. A tool choice is honoured as far as leaving out functions
// allows; Ollama has no way to require a call.
func (e *encoder) tools() error {
	c, err := e.Choice()
	if err != nil {
		return err
	}
	if c.Mode == "required" {
		e.Drop("tool_choice")
	}
	tools, err := e.Functions(c)
	if err != nil || len(tools) == 0 || c.Mode == "none" {
		return err
	}
	e.o.Key("tools")
	e.o.Open('[')
	for _, t := range tools {
		e.o.Open('{')
		e.o.Text("type", "function")
		e.o.Key("function")
		e.o.Open('{')
		for name, v := range jsonraw.Each(t.Function) {
			if string(name) != "strict" {
				e.o.Raw(string(name), jsonraw.Present(v))
			}
		}
		e.o.Close('}')
		e.o.Close('}')
		if t.Strict {
			e.Lose("tools.strict")
		}
	}
	e.o.Close(']')
	return nil
}

// messages writes the conversation.
func (e *encoder) messages() error {
	e.o.Key("messages")
	e.o.Open('[')
	for i := range e.Turns {
		if err := e.message(&e.Turns[i]); err != nil {
			return err
		}
	}
	e.o.Close(']')
	return nil
}

func (e *encoder) message(t *translate.Turn) error {
	o := &e.o
	o.Open('{')
	o.Text("role", t.Role)
	o.Text("content", t.PlainText())
	var images [][]byte
	for _, p := range t.Parts {
		switch {
		case p.Kind == translate.Text:
		case p.Kind != translate.Image:
			return t.Refuse(p, "is neither text nor a picture, and this model can be given nothing else")
		case !p.Media.Inline():
			return t.Refuse(p, "must carry its bytes as a data URL: this model fetches no pictures")
		default:
			images = append(images, jsonraw.Quote(string(p.Media.Data)))
			if p.Detail != "" && p.Detail != "auto" {
				e.Lose("messages.image_url.detail")
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
		e.Lose("messages.reasoning_details")
	}
	var calls [][]byte
	for _, call := range t.Calls {
		calls = append(calls, written(call))
	}
	o.Array("tool_calls", calls)
	o.Close('}')
	return nil
}

// written returns a call that the model made. Its arguments are an object here.
func written(call translate.Call) []byte {
	var o, f jsonraw.Object
	f.Text("name", call.Name)
	f.Raw("arguments", call.Object())
	o.Some("id", call.ID)
	o.Text("type", "function")
	o.Raw("function", f.Bytes())
	return o.Bytes()
}
