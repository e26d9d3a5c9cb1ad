package anthropic

import (
	"net/http"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// Format marks reasoning that Claude signed, so that it is not sent back to any other
// model.
const Format = "anthropic-claude-v1"

// errShape reports a response that is not a message.
var errShape = translate.Malformed("it is not a message")

// Decode reads a complete, non-streamed response.
func (a Completions) Decode(x providers.Exchange, _ http.Header, body []byte) (*chat.Response, error) {
	if err := translate.Valid(body); err != nil {
		return nil, err
	}
	m := message{head: translate.Head{Created: a.now()}}
	m.read(body)
	switch {
	case m.failure != nil:
		return nil, inBody(m.failure)
	case !m.content || m.Native == "":
		if e, ok := chat.ParseError(body); ok {
			return nil, said(e)
		}
		return nil, errShape
	}
	m.Finish = finish(m.Native, len(m.Calls))
	if m.Native == "refusal" {
		m.Unbilled = true
		m.Refusal.Add(jsonraw.Lookup(m.details, "explanation"))
	}
	m.head.Tier = m.usage.served()
	if x.Native != nil {
		return translate.NativeResponse(m.head, []translate.Choice{m.Choice}, m.usage.whole(), body), nil
	}
	return translate.Response(m.head, []translate.Choice{m.Choice}, m.usage.whole()), nil
}

// message is a complete response while it is being read.
type message struct {
	translate.Choice

	head    translate.Head
	content bool
	failure []byte
	details []byte // stop_details
	usage   usage
	chars   int64 // of the text so far
	thought int   // blocks of reasoning
}

func (m *message) read(body []byte) {
	for name, raw := range jsonraw.Each(body) {
		switch string(name) {
		case "id":
			m.head.ID = jsonraw.Text(raw)
		case "model":
			m.head.Model = jsonraw.Text(raw)
		case "content":
			m.content = raw[0] == '['
			for block := range jsonraw.Elements(raw) {
				m.block(block)
			}
		case "stop_reason":
			m.Native = jsonraw.Text(raw)
		case "stop_details":
			m.details = raw
		case "usage":
			earlier := m.usage
			m.usage.read(raw)
			m.usage.raise(&earlier)
		case "container":
			m.usage.contained(raw)
		case "error":
			if !jsonraw.IsNull(raw) {
				m.failure = body
			}
		}
	}
}

// block reads one block of the content. It skips what the provider did with its own
// tools, which the OpenAI format has no place for.
func (m *message) block(raw []byte) {
	b := readBlock(raw)
	switch b.kind {
	case "text":
		start := m.chars
		m.Text.Add(b.text)
		m.chars += translate.Characters(b.text)
		for citation := range jsonraw.Elements(b.citations) {
			m.Cite(source(citation, start, m.chars))
		}
	case "thinking", "redacted_thinking":
		before := len(m.Details)
		m.Think(b.thought(m.thought))
		m.thought += len(m.Details) - before
	case "tool_use":
		c := translate.ToolCall{ID: jsonraw.Text(b.id), Name: translate.WordsOf(b.name)}
		c.Arguments.AddText(string(b.input))
		m.Calls = append(m.Calls, c)
	}
}

// source returns the citation of a web page; for any other kind of source, its URL is empty.
func source(citation []byte, start, end int64) translate.Citation {
	return translate.Citation{URL: jsonraw.Lookup(citation, "url"), Title: jsonraw.Lookup(citation, "title"), Start: start, End: end}
}

// thought converts a block of reasoning.
func (b content) thought(index int) translate.Thought {
	t := translate.Thought{Index: index, Format: Format}
	if b.kind == "redacted_thinking" {
		t.Data = translate.WordsOf(b.text)
	} else {
		t.Text, t.Signature = translate.WordsOf(b.text), translate.WordsOf(b.signature)
	}
	return t
}

// content holds the fields read from a block, as JSON.
type content struct {
	kind                       string
	text                       []byte // of a text or thinking block, or the data of a redacted one
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

// finish translates a stop reason into the OpenAI format's terms.
func finish(stop string, calls int) string {
	switch stop {
	case "tool_use":
		return "tool_calls"
	case "max_tokens", "model_context_window_exceeded":
		return "length"
	case "refusal":
		return "content_filter"
	}
	if calls > 0 {
		return "tool_calls"
	}
	return "stop" // end_turn, stop_sequence, pause_turn
}

// usage is what the provider reports as used. In a streamed response, later values win.
// Cached tokens are counted in addition to input_tokens here.
type usage struct {
	translate.Usage

	input int64
	tier  string
	speed string
	geo   string
	aside *usage // used besides the answer itself; the latest report counts
}

func (u *usage) read(raw []byte) {
	for name, value := range jsonraw.Each(raw) {
		switch string(name) {
		case "input_tokens":
			u.Read(value, &u.input)
		case "cache_read_input_tokens":
			u.Read(value, &u.CacheRead)
		case "cache_creation_input_tokens":
			u.Read(value, &u.CacheWrite)
		case "cache_creation":
			u.Read(jsonraw.Lookup(value, "ephemeral_5m_input_tokens"), &u.CacheWrite5m)
			u.Read(jsonraw.Lookup(value, "ephemeral_1h_input_tokens"), &u.CacheWrite1h)
		case "output_tokens":
			u.Read(value, &u.Completion)
		case "output_tokens_details":
			u.Read(jsonraw.Lookup(value, "thinking_tokens"), &u.Reasoning)
		case "server_tool_use":
			u.Tools(value)
		case "iterations":
			u.readIterations(value)
		case "service_tier":
			u.tier = tier(jsonraw.Text(value))
		case "speed":
			u.speed = jsonraw.Text(value)
		case "inference_geo":
			u.geo = jsonraw.Text(value)
		}
	}
}

// raise replaces u's prompt and output with those of an earlier report where these are larger:
// usage that was reported once did occur.
func (u *usage) raise(earlier *usage) {
	if u.Invalid {
		return
	}
	if earlier.input+earlier.CacheRead+earlier.CacheWrite > u.input+u.CacheRead+u.CacheWrite {
		u.input, u.CacheRead, u.CacheWrite = earlier.input, earlier.CacheRead, earlier.CacheWrite
		u.CacheWrite5m, u.CacheWrite1h = earlier.CacheWrite5m, earlier.CacheWrite1h
	}
	if earlier.Completion > u.Completion {
		u.Completion, u.Reasoning = earlier.Completion, earlier.Reasoning
	}
}

// contained counts the container in which code ran.
func (u *usage) contained(container []byte) {
	if jsonraw.IsObject(container) {
		u.Metered.Raise(chat.MeterContainer, 1)
	}
}

// readIterations reads what was used besides the answer itself: to compact the
// conversation, or to call another model.
func (u *usage) readIterations(list []byte) {
	var aside usage
	for i := range jsonraw.Elements(list) {
		if jsonraw.Text(jsonraw.Lookup(i, "type")) == "message" {
			continue
		}
		var one usage
		one.read(i)
		aside.input += one.input
		aside.CacheRead += one.CacheRead
		aside.CacheWrite += max(one.CacheWrite, one.CacheWrite5m+one.CacheWrite1h)
		aside.CacheWrite1h += one.CacheWrite1h
		aside.Completion += one.Completion
		u.Invalid = u.Invalid || one.Invalid
	}
	u.aside = &aside
}

// whole returns the usage as the OpenAI format counts it, or nil if none was reported.
// Cache writes count as the five-minute kind unless they are reported as one-hour writes.
func (u *usage) whole() *translate.Usage {
	if !u.Found {
		return nil
	}
	u.CacheWrite = max(u.CacheWrite, u.CacheWrite5m+u.CacheWrite1h)
	if a := u.aside; a != nil {
		u.input, u.CacheRead, u.CacheWrite = u.input+a.input, u.CacheRead+a.CacheRead, u.CacheWrite+a.CacheWrite
		u.CacheWrite1h, u.Completion = u.CacheWrite1h+a.CacheWrite1h, u.Completion+a.Completion
		u.aside = nil
	}
	u.CacheWrite5m = u.CacheWrite - u.CacheWrite1h
	whole := u.Usage
	whole.Prompt = u.input + u.CacheRead + u.CacheWrite
	return &whole
}

// Usage reads the usage from a body that may not be a valid response otherwise.
func (a Completions) Usage(_ providers.Exchange, body []byte) *chat.Usage {
	var u usage
	u.read(jsonraw.Lookup(body, "usage"))
	return u.whole().Chat(u.served())
}

// served returns the tier that was served. A speed above standard takes the place of the
// tier, because it has a price of its own; a region of inference is appended to either.
func (u *usage) served() string {
	fast := u.speed != "" && u.speed != "standard"
	switch anywhere := u.geo == "" || u.geo == "global" || u.geo == "not_available"; {
	case fast && anywhere:
		return u.speed
	case fast:
		return u.speed + "-" + u.geo
	case anywhere:
		return u.tier
	}
	return u.geo
}

// tier translates a service tier into OpenAI's terms; "" if OpenAI has no equivalent.
func tier(name string) string {
	switch name {
	case "standard":
		return "default"
	case "priority":
		return "priority"
	}
	return ""
}
