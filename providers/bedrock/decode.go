package bedrock

import (
	"cmp"
	"net/http"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// errShape reports an invalid Converse response.
var errShape = translate.Malformed("it has no message and no reason why it ended")

// Decode reads a complete, non-streamed response.
func (a completions) Decode(x providers.Exchange, _ http.Header, body []byte) (*chat.Response, error) {
	if err := translate.Valid(body); err != nil {
		return nil, err
	}
	m := message{head: a.head(x), format: familyOf(x.Target.Upstream).format()}
	m.read(body)
	if !m.found || m.Native == "" {
		if kind, text := said(nil, body); text != "" {
			return nil, failed(0, kind, text)
		}
		return nil, errShape
	}
	if malformed(m.Native) && len(m.Calls) == 0 {
		return nil, translate.Malformed("the model gave up: " + m.Native)
	}
	m.Finish = finish(m.Native, len(m.Calls))
	return translate.Response(m.head, []translate.Choice{m.Choice}, m.usage), nil
}

// head returns the fields that identify a response. Bedrock names neither it nor the model.
func (a completions) head(x providers.Exchange) translate.Head {
	return translate.Head{ID: a.id(x), Model: x.Target.Upstream, Created: a.now().Unix()}
}

// message is a complete response while it is being read.
type message struct {
	translate.Choice

	head    translate.Head
	format  string // of the reasoning
	thought int    // blocks of reasoning
	found   bool
	usage   *translate.Usage
	did     chat.Metered // by the provider's own tools
	chars   int64        // of the text so far
}

func (m *message) read(body []byte) {
	for name, raw := range jsonraw.Each(body) {
		switch string(name) {
		case "output":
			content := jsonraw.Lookup(raw, "message", "content")
			m.found = jsonraw.IsArray(content)
			for block := range jsonraw.Elements(content) {
				m.block(block)
			}
		case "stopReason":
			m.Native = jsonraw.Text(raw)
		case "usage":
			if u := usage(raw); u.Chat("").Exceeds(m.usage.Chat("")) {
				m.usage = u
			}
		case "serviceTier":
			m.head.Tier = tier(raw)
		}
	}
	if m.usage != nil {
		m.usage.Metered.Include(m.did)
	}
}

// block reads one block of the content, by the member that it has. What the provider did
// with its own tools is only counted.
func (m *message) block(raw []byte) {
	for name, value := range jsonraw.Each(raw) {
		switch string(name) {
		case "text":
			m.text(value)
		case "toolUse":
			if c, ok := readCall(value); ok {
				c.Arguments.AddText(string(jsonraw.Lookup(value, "input")))
				m.Calls = append(m.Calls, c)
			} else {
				count(&m.did, value)
			}
		case "reasoningContent":
			inner := jsonraw.Lookup(value, "reasoningText")
			m.Think(thought(m.thought, m.format, inner, value))
			m.thought++
		case "citationsContent":
			m.cited(value)
		}
	}
}

func (m *message) text(value []byte) {
	m.Text.Add(value)
	m.chars += translate.Characters(value)
}

// readCall reads a tool call without its input. It returns false for a call that the
// provider runs itself.
func readCall(value []byte) (translate.ToolCall, bool) {
	c := translate.ToolCall{ID: jsonraw.Text(jsonraw.Lookup(value, "toolUseId")), Name: translate.WordsOf(jsonraw.Lookup(value, "name"))}
	return c, jsonraw.Text(jsonraw.Lookup(value, "type")) != "server_tool_use"
}

// count counts a call that the provider runs itself: Nova's grounding once per prompt, as
// it is charged, and everything else per call.
func count(did *chat.Metered, call []byte) {
	name := strings.TrimPrefix(jsonraw.Text(jsonraw.Lookup(call, "name")), "nova_")
	if name == "grounding" {
		did.Raise(chat.MeterGrounding, 1)
		return
	}
	did.Add(cmp.Or(chat.MeterOf(name), chat.MeterToolCall), 1)
}

// thought converts a block of reasoning, or a piece of one. Its text and signature are in
// text; encrypted content is in whole.
func thought(index int, format string, text, whole []byte) translate.Thought {
	t := translate.Thought{
		Index: index, Format: format,
		Text: translate.WordsOf(jsonraw.Lookup(text, "text")), Signature: translate.WordsOf(jsonraw.Lookup(text, "signature")),
	}
	if data := translate.WordsOf(jsonraw.Lookup(whole, "redactedContent")); len(data) > 0 {
		t = translate.Thought{Index: index, Format: own, Data: data}
	}
	return t
}

// cited reads text with its sources. The OpenAI format can express only those that are web
// pages.
func (m *message) cited(value []byte) {
	start := m.chars
	for part := range jsonraw.Elements(jsonraw.Lookup(value, "content")) {
		m.text(jsonraw.Lookup(part, "text"))
	}
	for c := range jsonraw.Elements(jsonraw.Lookup(value, "citations")) {
		m.Cite(source(c, start, m.chars))
	}
}

// source returns the citation of a web page; for any other kind of source, its URL is empty.
func source(citation []byte, start, end int64) translate.Citation {
	url, title := jsonraw.Lookup(citation, "location", "web", "url"), jsonraw.Lookup(citation, "title")
	return translate.Citation{URL: url, Title: title, Start: start, End: end}
}

// finish translates a stop reason into the OpenAI format's terms. Some models end their
// turn normally although they made calls that need a result.
func finish(stop string, calls int) string {
	switch stop {
	case "tool_use":
		return "tool_calls"
	case "max_tokens", "model_context_window_exceeded":
		return "length"
	case "guardrail_intervened", "content_filtered":
		return "content_filter"
	}
	if calls > 0 {
		return "tool_calls"
	}
	if malformed(stop) {
		return "content_filter" // so that nobody takes the partial answer for a complete one
	}
	return "stop" // end_turn, stop_sequence
}

// malformed reports a stop reason that means the model's output cannot be parsed. A retry
// may succeed.
func malformed(stop string) bool {
	return stop == "malformed_model_output" || stop == "malformed_tool_use"
}

// Usage reads the usage from a body that may not be a valid response otherwise.
func (a completions) Usage(_ providers.Exchange, body []byte) *chat.Usage {
	return usage(jsonraw.Lookup(body, "usage")).Chat(tier(jsonraw.Lookup(body, "serviceTier")))
}

// usage reads the usage, and returns nil if none is reported. Cached tokens are counted in
// addition to inputTokens here. Cache writes count as the five-minute kind unless they are
// reported as one-hour writes.
func usage(raw []byte) *translate.Usage {
	u := &translate.Usage{}
	for name, value := range jsonraw.Each(raw) {
		switch string(name) {
		case "inputTokens":
			u.Read(value, &u.Prompt)
		case "outputTokens":
			u.Read(value, &u.Completion)
		case "cacheReadInputTokens", "cacheReadInputTokenCount":
			u.Read(value, &u.CacheRead)
		case "cacheWriteInputTokens", "cacheWriteInputTokenCount":
			u.Read(value, &u.CacheWrite)
		case "cacheDetails":
			for detail := range jsonraw.Elements(value) {
				if jsonraw.Text(jsonraw.Lookup(detail, "ttl")) == "1h" {
					u.Read(jsonraw.Lookup(detail, "inputTokens"), &u.CacheWrite1h)
				}
			}
		}
	}
	if !u.Found {
		return nil
	}
	u.CacheWrite = max(u.CacheWrite, u.CacheWrite1h)
	u.CacheWrite5m = u.CacheWrite - u.CacheWrite1h
	u.Prompt += u.CacheRead + u.CacheWrite
	return u
}

// tier returns the service tier, if OpenAI has a name for it.
func tier(raw []byte) string {
	switch t := jsonraw.Text(jsonraw.Lookup(raw, "type")); t {
	case "default", "flex", "priority":
		return t
	}
	return ""
}
