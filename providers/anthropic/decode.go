package anthropic

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

// Format is what reasoning that Claude signed is marked with, so that it goes
// back to no other model.
const Format = "anthropic-claude-v1"

var errShape = errors.New("anthropic: the answer is no message")

// Decode reads a whole answer.
func (a Adapter) Decode(_ providers.Exchange, _ http.Header, body []byte) (*chat.Response, error) {
	if !json.Valid(body) {
		return nil, &providers.Error{Kind: providers.KindBroken, Err: errShape}
	}
	m := message{answer: blocks.Answer{Head: blocks.Head{Created: a.now()}}}
	m.read(body)
	switch {
	case m.failure != nil:
		return nil, inBody(m.failure)
	case !m.content || m.stop == "":
		if e, ok := chat.ParseError(body); ok {
			return nil, said(e)
		}
		return nil, &providers.Error{Kind: providers.KindBroken, Err: errShape}
	}
	m.finish()
	r, err := m.answer.Response()
	if err != nil {
		return nil, &providers.Error{Kind: providers.KindBroken, Err: fmt.Errorf("anthropic: %w", err)}
	}
	return r, nil
}

// message is a whole answer that is being read.
type message struct {
	answer  blocks.Answer
	stop    string
	content bool
	failure []byte
	details []byte // stop_details
	usage   usage
	chars   int // of the text so far
}

func (m *message) read(body []byte) {
	for name, raw := range jsonraw.Each(body) {
		switch string(name) {
		case "id":
			m.answer.ID = jsonraw.Text(raw)
		case "model":
			m.answer.Model = jsonraw.Text(raw)
		case "content":
			m.content = raw[0] == '['
			for block := range jsonraw.Elements(raw) {
				m.block(block)
			}
		case "stop_reason":
			m.stop = jsonraw.Text(raw)
		case "stop_details":
			m.details = raw
		case "usage":
			m.usage.read(raw)
		case "error":
			if !jsonraw.IsNull(raw) {
				m.failure = body
			}
		}
	}
}

func (m *message) finish() {
	a := &m.answer
	a.Finish, a.Native = finish(m.stop), m.stop
	if a.Finish == "stop" && len(a.Calls) > 0 {
		a.Finish = "tool_calls"
	}
	if m.stop == "refusal" {
		a.Refusal = jsonraw.Text(jsonraw.Lookup(m.details, "explanation"))
	}
	a.Tier = m.usage.tier
	if m.usage.found {
		a.Usage = &m.usage.Usage
	}
}

// block reads one of content. What the provider did with its own tools is passed
// over: the OpenAI format has no place for it.
func (m *message) block(raw []byte) {
	a := &m.answer
	b := readBlock(raw)
	switch b.kind {
	case "text":
		start := m.chars
		a.Text = append(a.Text, jsonraw.Inside(b.text)...)
		m.chars += utf8.RuneCount(jsonraw.Quoted(b.text).Bytes())
		for citation := range jsonraw.Elements(b.citations) {
			if n := annotation(citation, start, m.chars); n != nil {
				a.Annotations = append(a.Annotations, n)
			}
		}
	case "thinking":
		if len(jsonraw.Inside(b.text))+len(jsonraw.Inside(b.signature)) == 0 {
			return
		}
		a.Reasoning = append(a.Reasoning, jsonraw.Inside(b.text)...)
		a.Details = append(a.Details, blocks.Detail{
			Index: len(a.Details), Text: jsonraw.Inside(b.text), Signature: blocks.Some(b.signature), Format: Format,
		})
	case "redacted_thinking":
		a.Details = append(a.Details, blocks.Detail{Index: len(a.Details), Data: jsonraw.Inside(b.text), Format: Format})
	case "tool_use":
		a.Calls = append(a.Calls, blocks.ToolCall{ID: jsonraw.Text(b.id), Name: b.name, Arguments: string(b.input)})
	}
}

// content is what is read of a block, as JSON.
type content struct {
	kind                       string
	text                       []byte // of a text, of a thought, or the data of a hidden one
	signature, id, name, input []byte
	citations                  []byte
}

func readBlock(raw []byte) content {
	var b content
	for name, value := range jsonraw.Each(raw) {
		switch string(name) {
		case "type":
			b.kind = jsonraw.Text(value)
		case "text", "thinking", "data":
			b.text = value
		case "signature":
			b.signature = value
		case "id":
			b.id = value
		case "name":
			b.name = value
		case "input":
			b.input = value
		case "citations":
			b.citations = value
		}
	}
	return b
}

// annotation is a citation of a page of the web; nil for others.
func annotation(citation []byte, start, end int) []byte {
	return blocks.Citation{URL: jsonraw.Lookup(citation, "url"), Title: jsonraw.Lookup(citation, "title"), Start: start, End: end}.JSON()
}

// finish is a stop reason in the words of OpenAI.
func finish(stop string) string {
	switch stop {
	case "tool_use":
		return "tool_calls"
	case "max_tokens", "model_context_window_exceeded":
		return "length"
	case "refusal":
		return "content_filter"
	}
	return "stop" // end_turn, stop_sequence, pause_turn
}

// usage is what was used. Of a streamed answer, what comes later counts.
type usage struct {
	blocks.Usage
	found bool
	tier  string
}

func (u *usage) read(raw []byte) {
	var short int64
	for name, value := range jsonraw.Each(raw) {
		switch string(name) {
		case "input_tokens":
			u.found = true
			blocks.Count(value, &u.Input)
		case "cache_read_input_tokens":
			blocks.Count(value, &u.CacheRead)
		case "cache_creation_input_tokens":
			blocks.Count(value, &u.CacheWrite)
		case "cache_creation":
			blocks.Count(jsonraw.Lookup(value, "ephemeral_5m_input_tokens"), &short)
			blocks.Count(jsonraw.Lookup(value, "ephemeral_1h_input_tokens"), &u.CacheWrite1h)
		case "output_tokens":
			u.found = true
			blocks.Count(value, &u.Output)
		case "output_tokens_details":
			blocks.Count(jsonraw.Lookup(value, "thinking_tokens"), &u.Reasoning)
		case "service_tier":
			u.tier = tier(jsonraw.Text(value))
		}
	}
	u.CacheWrite = max(u.CacheWrite, short+u.CacheWrite1h)
}

// tier is a service tier in the words of OpenAI, where it has one.
func tier(name string) string {
	switch name {
	case "standard":
		return "default"
	case "priority":
		return "priority"
	}
	return ""
}
