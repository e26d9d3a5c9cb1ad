package cohere

import (
	"fmt"
	"net/http"

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
	message := jsonraw.Lookup(body, "message")
	if !jsonraw.IsObject(message) {
		if _, ok := chat.ParseError(body); ok {
			return nil, failure(0, body)
		}
		return nil, translate.Malformed("it has no message")
	}
	var c translate.Choice
	s := speaker{}
	s.message(&c.Message, message)
	c.Native = jsonraw.Text(jsonraw.Lookup(body, "finish_reason"))
	if failed(c.Native) {
		return nil, unfinished(c.Native, body)
	}
	c.Finish = finish(c.Native, s.calls)
	h := a.head(x, jsonraw.Text(jsonraw.Lookup(body, "id")), body)
	return translate.Response(h, []translate.Choice{c}, count(translate.Member(jsonraw.Each(body), "usage"))), nil
}

// head returns the fields that describe a response as a whole. Cohere provides only its ID.
func (a completions) head(x providers.Exchange, id string, data []byte) translate.Head {
	if id == "" {
		id = translate.AnswerID(x, data)
	}
	return translate.Head{ID: id, Model: x.Target.Upstream, Created: a.Now().Unix()}
}

// count reads the usage. What Cohere bills leaves out what it adds to a prompt itself; if
// no billed count is given, the tokens that the model read and wrote count. Tokens read from
// a cache are part of the latter, cost the same as others, and are not reported separately.
func count(usage []byte) *translate.Usage {
	u := &translate.Usage{}
	units := translate.Member(jsonraw.Each(usage), "billed_units")
	billed := func(name string) int64 {
		if jsonraw.Present(jsonraw.Lookup(units, name)) != nil {
			return u.At(units, name)
		}
		return u.At(usage, "tokens", name)
	}
	u.Prompt, u.Completion = billed("input_tokens"), billed("output_tokens")
	u.Reasoning = min(u.At(usage, "tokens", "reasoning_tokens"), u.Completion)
	if !u.Found {
		return nil
	}
	return u
}

// Usage reads the usage from a body that may not be a valid response otherwise.
func (completions) Usage(_ providers.Exchange, body []byte) *chat.Usage {
	return count(translate.Member(jsonraw.Each(body), "usage")).Chat("")
}

// failed reports a finish reason that means the answer failed.
func failed(reason string) bool { return reason == "ERROR" || reason == "TIMEOUT" }

// unfinished returns the error for an answer that Cohere could not finish.
func unfinished(reason string, data []byte) *providers.Error {
	d := chat.Error{Message: "The provider could not finish its answer.", Type: reason}
	if said := jsonraw.Text(jsonraw.Lookup(data, "delta", "error")); said != "" {
		d.Message = said
	}
	return &providers.Error{Kind: providers.KindOverload, Detail: d, Err: &d}
}

// finish translates a finish reason into the OpenAI format's terms.
func finish(reason string, calls int) string {
	switch reason {
	case "MAX_TOKENS", "ERROR_LIMIT":
		return "length"
	case "TOOL_CALL":
		return "tool_calls"
	case "ERROR_TOXIC":
		return "content_filter"
	}
	if calls > 0 {
		return "tool_calls"
	}
	return "stop"
}

// speaker builds one message from the pieces of a response.
type speaker struct{ calls, details int }

func (s *speaker) message(m *translate.Message, raw []byte) {
	s.reason(m, "cohere.tool_plan", jsonraw.Lookup(raw, "tool_plan"))
	content := jsonraw.Lookup(raw, "content")
	m.Text.Add(content)
	for part := range jsonraw.Elements(content) {
		s.part(m, part)
	}
	for call := range jsonraw.Elements(jsonraw.Lookup(raw, "tool_calls")) {
		s.call(m, call)
		if last := &m.Calls[len(m.Calls)-1]; len(last.Arguments) == 0 {
			last.Arguments.AddText("{}")
		}
	}
}

// part reads one part of the content: text or reasoning.
func (s *speaker) part(m *translate.Message, part []byte) {
	m.Text.Add(jsonraw.Lookup(part, "text"))
	s.reason(m, "reasoning.text", jsonraw.Lookup(part, "thinking"))
}

// reason adds reasoning or a plan, which is what the model says it will do with the tools.
func (s *speaker) reason(m *translate.Message, kind string, text []byte) {
	if len(jsonraw.Inside(text)) == 0 {
		return
	}
	m.Reasoning.Add(text)
	var o jsonraw.Object
	o.Text("type", kind)
	o.Text("format", format)
	o.Int("index", int64(s.details))
	o.Raw("text", text)
	s.details++
	m.Details = append(m.Details, o.Bytes())
}

func (s *speaker) call(m *translate.Message, raw []byte) {
	function := jsonraw.Lookup(raw, "function")
	c := translate.ToolCall{
		Index: s.calls, ID: jsonraw.Text(jsonraw.Lookup(raw, "id")),
		Name: translate.WordsOf(jsonraw.Lookup(function, "name")), Arguments: translate.WordsOf(jsonraw.Lookup(function, "arguments")),
	}
	if c.ID == "" {
		c.ID = translate.Derived("call_", string(raw), fmt.Sprint(s.calls))
	}
	m.Calls = append(m.Calls, c)
	s.calls++
}
