package bedrock

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"unicode/utf8"

	"tallyroute/providers"
	"tallyroute/providers/blocks"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

var errShape = errors.New("bedrock: the answer is none of Converse")

func broken(err error) *providers.Error {
	return &providers.Error{Kind: providers.KindBroken, Err: err}
}

// Decode reads a whole answer.
func (a Adapter) Decode(x providers.Exchange, _ http.Header, body []byte) (*chat.Response, error) {
	if !json.Valid(body) {
		return nil, broken(errShape)
	}
	m := message{answer: blocks.Answer{Head: a.head(x)}, format: familyOf(x.Target.Upstream).format()}
	m.read(body)
	if !m.found || m.stop == "" {
		if kind, text := said(nil, body); text != "" {
			return nil, failed(0, kind, text)
		}
		return nil, broken(errShape)
	}
	m.finish()
	r, err := m.answer.Response()
	if err != nil {
		return nil, broken(fmt.Errorf("bedrock: %w", err))
	}
	return r, nil
}

// head is what an answer begins with. Bedrock names neither it nor the model.
func (a Adapter) head(x providers.Exchange) blocks.Head {
	return blocks.Head{ID: a.id(x), Model: x.Target.Upstream, Created: a.now().Unix()}
}

// message is a whole answer that is being read.
type message struct {
	answer blocks.Answer
	format string // of reasoning
	stop   string
	found  bool
	usage  usage
	chars  int // of the text so far
}

func (m *message) read(body []byte) {
	for name, raw := range jsonraw.Each(body) {
		switch string(name) {
		case "output":
			content := jsonraw.Lookup(raw, "message", "content")
			m.found = len(content) > 0 && content[0] == '['
			for block := range jsonraw.Elements(content) {
				m.block(block)
			}
		case "stopReason":
			m.stop = jsonraw.Text(raw)
		case "usage":
			m.usage.read(raw)
		case "serviceTier":
			m.answer.Tier = tier(raw)
		}
	}
}

func (m *message) finish() {
	a := &m.answer
	a.Finish, a.Native = finish(m.stop, len(a.Calls)), m.stop
	if m.usage.found {
		a.Usage = &m.usage.Usage
	}
}

// block reads one of content, by the member that it has. What the provider did
// with its own tools is passed over.
func (m *message) block(raw []byte) {
	for name, value := range jsonraw.Each(raw) {
		switch string(name) {
		case "text":
			m.text(value)
		case "toolUse":
			m.call(value)
		case "reasoningContent":
			m.reasoning(value)
		case "citationsContent":
			m.cited(value)
		}
	}
}

func (m *message) text(value []byte) {
	m.answer.Text = append(m.answer.Text, jsonraw.Inside(value)...)
	m.chars += utf8.RuneCount(jsonraw.Quoted(value).Bytes())
}

func (m *message) call(value []byte) {
	c := readCall(value)
	if !c.server {
		m.answer.Calls = append(m.answer.Calls, blocks.ToolCall{ID: c.id, Name: c.name, Arguments: string(c.input)})
	}
}

// toolUse is what is read of a tool call.
type toolUse struct {
	id          string
	name, input []byte // as JSON
	server      bool   // the provider runs it itself
}

func readCall(value []byte) toolUse {
	var c toolUse
	for name, raw := range jsonraw.Each(value) {
		switch string(name) {
		case "toolUseId":
			c.id = jsonraw.Text(raw)
		case "name":
			c.name = raw
		case "input":
			c.input = raw
		case "type":
			c.server = jsonraw.Text(raw) == "server_tool_use"
		}
	}
	return c
}

func (m *message) reasoning(value []byte) {
	a := &m.answer
	text := jsonraw.Lookup(value, "reasoningText", "text")
	d := blocks.Detail{
		Index: len(a.Details), Format: m.format,
		Text: jsonraw.Inside(text), Signature: blocks.Some(jsonraw.Lookup(value, "reasoningText", "signature")),
	}
	if data := blocks.Some(jsonraw.Lookup(value, "redactedContent")); data != nil {
		d = blocks.Detail{Index: d.Index, Format: own, Data: data}
	}
	a.Reasoning = append(a.Reasoning, jsonraw.Inside(text)...)
	a.Details = append(a.Details, d)
}

// cited reads text with its sources, of which the OpenAI format has pages of the
// web alone.
func (m *message) cited(value []byte) {
	start := m.chars
	for part := range jsonraw.Elements(jsonraw.Lookup(value, "content")) {
		m.text(jsonraw.Lookup(part, "text"))
	}
	for c := range jsonraw.Elements(jsonraw.Lookup(value, "citations")) {
		if n := annotation(c, start, m.chars); n != nil {
			m.answer.Annotations = append(m.answer.Annotations, n)
		}
	}
}

func annotation(citation []byte, start, end int) []byte {
	return blocks.Citation{
		URL: jsonraw.Lookup(citation, "location", "web", "url"), Title: jsonraw.Lookup(citation, "title"), Start: start, End: end,
	}.JSON()
}

// finish is a stop reason in the words of OpenAI. Some models end their turn with
// calls that wait for an answer.
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
	return "stop" // end_turn, stop_sequence, malformed_model_output, malformed_tool_use
}

// usage is what was used. Cached tokens stand beside inputTokens.
type usage struct {
	blocks.Usage
	found bool
}

func (u *usage) read(raw []byte) {
	for name, value := range jsonraw.Each(raw) {
		switch string(name) {
		case "inputTokens":
			u.found = true
			blocks.Count(value, &u.Input)
		case "outputTokens":
			u.found = true
			blocks.Count(value, &u.Output)
		case "cacheReadInputTokens", "cacheReadInputTokenCount":
			blocks.Count(value, &u.CacheRead)
		case "cacheWriteInputTokens", "cacheWriteInputTokenCount":
			blocks.Count(value, &u.CacheWrite)
		case "cacheDetails":
			for detail := range jsonraw.Elements(value) {
				if jsonraw.Text(jsonraw.Lookup(detail, "ttl")) == "1h" {
					blocks.Count(jsonraw.Lookup(detail, "inputTokens"), &u.CacheWrite1h)
				}
			}
		}
	}
	u.CacheWrite = max(u.CacheWrite, u.CacheWrite1h)
}

// tier is the service tier where OpenAI has a word for it.
func tier(raw []byte) string {
	switch t := jsonraw.Text(jsonraw.Lookup(raw, "type")); t {
	case "default", "flex", "priority":
		return t
	}
	return ""
}
