package ollama

import (
	"io"
	"net/http"
	"strconv"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// Decode reads a complete, non-streamed response.
func (a completions) Decode(x providers.Exchange, _ http.Header, body []byte) (*chat.Response, error) {
	if err := translate.Valid(body); err != nil {
		return nil, err
	}
	if failed(body) {
		return nil, failure(0, body)
	}
	message := jsonraw.Lookup(body, "message")
	if !jsonraw.IsObject(message) {
		return nil, translate.Malformed("it has no message")
	}
	h := a.head(x, body)
	s := speaker{id: h.ID}
	c := translate.Choice{Message: s.say(message), Native: jsonraw.Text(jsonraw.Lookup(body, "done_reason"))}
	c.Logprobs = logprobs(jsonraw.Lookup(body, "logprobs"))
	c.Finish = finish(c.Native, s.calls)
	return translate.Response(h, []translate.Choice{c}, count(body)), nil
}

// head returns the fields that describe a response as a whole. Ollama gives it no ID.
func (a completions) head(x providers.Exchange, data []byte) translate.Head {
	h := translate.Head{
		ID:      translate.AnswerID(x, data),
		Model:   jsonraw.Text(jsonraw.Lookup(data, "model")),
		Created: translate.Unix(jsonraw.Text(jsonraw.Lookup(data, "created_at")), a.Now),
	}
	if h.Model == "" {
		h.Model = x.Target.Upstream
	}
	return h
}

// count reads the usage. Servers that have the prompt in their cache omit its length; the
// usage is then unknown rather than zero.
func count(data []byte) *translate.Usage {
	u := &translate.Usage{}
	u.Prompt, u.Completion = u.At(data, "prompt_eval_count"), u.At(data, "eval_count")
	if !u.Found {
		return nil
	}
	return u
}

// Usage reads the usage from a body that may not be a valid response otherwise.
func (completions) Usage(_ providers.Exchange, body []byte) *chat.Usage { return count(body).Chat("") }

// finish translates a finish reason into the OpenAI format's terms.
func finish(reason string, calls int) string {
	switch {
	case reason == "length":
		return "length"
	case calls > 0:
		return "tool_calls"
	}
	return "stop"
}

// speaker builds one message from the pieces of a response.
type speaker struct {
	id    string
	calls int
}

func (s *speaker) say(message []byte) translate.Message {
	var m translate.Message
	m.Text.Add(jsonraw.Lookup(message, "content"))
	m.Reasoning.Add(jsonraw.Lookup(message, "thinking"))
	for call := range jsonraw.Elements(jsonraw.Lookup(message, "tool_calls")) {
		f := jsonraw.Lookup(call, "function")
		name := jsonraw.Lookup(f, "name")
		said := translate.ToolCall{Index: s.calls, ID: jsonraw.Text(jsonraw.Lookup(call, "id")), Name: translate.WordsOf(name)}
		if said.ID == "" {
			said.ID = translate.Derived("call_", s.id, strconv.Itoa(s.calls), jsonraw.Text(name))
		}
		switch arguments := jsonraw.Present(jsonraw.Lookup(f, "arguments")); {
		case arguments == nil:
			said.Arguments.AddText("{}")
		case len(jsonraw.Inside(arguments)) > 0:
			said.Arguments.Add(arguments)
		default:
			said.Arguments.AddText(string(jsonraw.Compact(arguments)))
		}
		s.calls++
		m.Calls = append(m.Calls, said)
	}
	return m
}

// logprobs returns log probabilities in the OpenAI format, except for the object around them.
func logprobs(list []byte) []byte {
	if len(list) <= len("[]") || list[0] != '[' {
		return nil
	}
	var tokens [][]byte
	for token := range jsonraw.Elements(list) {
		var o jsonraw.Object
		for _, name := range []string{"token", "logprob"} {
			o.Raw(name, jsonraw.Lookup(token, name))
		}
		b := jsonraw.Lookup(token, "bytes")
		if b == nil {
			b = []byte("null")
		}
		o.Raw("bytes", b)
		tops := jsonraw.Lookup(token, "top_logprobs")
		if tops == nil {
			tops = []byte("[]")
		}
		o.Raw("top_logprobs", tops)
		tokens = append(tokens, o.Bytes())
	}
	var o jsonraw.Object
	o.Raw("content", jsonraw.Array(tokens))
	o.Raw("refusal", []byte("null"))
	return o.Bytes()
}

// Stream reads a streamed response.
func (a completions) Stream(x providers.Exchange, body io.ReadCloser) chat.Stream {
	return translate.NewStream(&stream{a: a, x: x, Frames: translate.NewFrames(body)}, body)
}

// stream ends with the line that says "done".
type stream struct {
	*translate.Frames

	a completions
	x providers.Exchange
	speaker
}

// Step reads one line.
func (s *stream) Step(q *translate.Emitter) error {
	data, err := s.Next()
	if err != nil {
		return err
	}
	if failed(data) {
		return failure(0, data)
	}
	if q.ID == "" {
		q.Head = s.a.head(s.x, data)
		s.id = q.ID
	}
	m := s.say(jsonraw.Lookup(data, "message"))
	m.Logprobs = logprobs(jsonraw.Lookup(data, "logprobs"))
	q.Say(0, &m)
	if string(jsonraw.Lookup(data, "done")) == "true" {
		reason := jsonraw.Text(jsonraw.Lookup(data, "done_reason"))
		q.Finish(0, finish(reason, s.calls), reason)
		q.Usage(count(data))
		return io.EOF
	}
	return nil
}

// failed reports whether a line is an error.
func failed(data []byte) bool { return jsonraw.Present(jsonraw.Lookup(data, "error")) != nil }

// Fail reads a response whose status reports a failure.
func (completions) Fail(_ providers.Exchange, status int, _ http.Header, body []byte) *providers.Error {
	if _, ok := chat.ParseError(body); !ok {
		return translate.Unread("ollama", status)
	}
	return failure(status, body)
}

// failure describes an error object; status is 0 if it is unknown.
func failure(status int, body []byte) *providers.Error {
	d, _ := chat.ParseError(body)
	return translate.Failed(classify(status, strings.ToLower(d.Message)), status, d)
}

// classify returns the kind of an error. Ollama has no error codes, only messages.
func classify(status int, message string) providers.Kind {
	says := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(message, w) {
				return true
			}
		}
		return false
	}
	switch {
	case status >= http.StatusInternalServerError:
		return providers.KindOf(status) // whatever is wrong with its runner
	case says("context length", "context window", "exceeds maximum context", "too long"):
		return providers.KindContext
	case says("not found") && says("model"):
		return providers.KindUnknown
	case says("usage limit", "subscription", "upgrade"):
		return providers.KindQuota
	case says("does not support", "invalid"):
		return providers.KindRequest
	case status == 0:
		return providers.KindOverload
	}
	return providers.KindOf(status)
}
