package responses

import (
	"io"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// Stream reads a streamed response.
func (a completions) Stream(x providers.Exchange, body io.ReadCloser) chat.Stream {
	frames := translate.NewFrames(body)
	s := &stream{a: a, x: x, Frames: frames, next: frames.Next, items: make(map[string]*item)}
	if x.Native != nil {
		next, last := translate.Tap(s.next)
		s.next = next
		return translate.NewNativeStream(s, last, body)
	}
	return translate.NewStream(s, body)
}

// stream ends with the event that says that the response is complete.
type stream struct {
	*translate.Frames

	a    completions
	x    providers.Exchange
	next func() ([]byte, error)
	speaker
	items map[string]*item // by output_index
}

// item is one item of a streamed output, with how much of it was passed on.
type item struct {
	call   int // its index, if it is a call
	begun  bool
	custom bool
	said   map[string]int // bytes passed on, by the part that they belong to
}

// Step reads one event.
func (s *stream) Step(q *translate.Emitter) error {
	data, err := s.next()
	if err != nil {
		return err
	}
	kind := jsonraw.Text(jsonraw.Lookup(data, "type"))
	if kind == "" {
		kind = s.Name()
	}
	if kind == "error" || kind == "" && jsonraw.Present(jsonraw.Lookup(data, "error")) != nil {
		return failed(s.x, data)
	}
	if response := jsonraw.Lookup(data, "response"); jsonraw.IsObject(response) {
		if q.ID == "" || strings.HasSuffix(kind, "completed") {
			id := q.ID
			q.Head = s.a.head(s.x, response)
			if id != "" {
				q.ID = id
			}
		}
		return s.whole(q, kind, response)
	}
	if q.ID == "" {
		q.Head = s.a.head(s.x, data)
	}
	if jsonraw.Lookup(data, "output_index") == nil && jsonraw.Lookup(data, "item_id") == nil {
		return nil // not about content
	}
	if kind == "response.output_item.added" && strings.HasSuffix(jsonraw.Text(jsonraw.Lookup(data, "item", "type")), "_call") {
		q.Work()
	}
	var m translate.Message
	s.event(&m, kind, data)
	q.Say(0, &m)
	return nil
}

// whole reads the events that carry the response so far.
func (s *stream) whole(q *translate.Emitter, kind string, response []byte) error {
	usage := count(response)
	switch kind {
	case "response.completed", "response.incomplete", "response.failed", "response.done":
	default:
		if usage != nil {
			q.Early(func() *translate.Usage { return usage })
		}
		return nil
	}
	if len(s.items) == 0 && kind != "response.failed" { // nothing arrived in pieces
		var m translate.Message
		for it := range jsonraw.Elements(jsonraw.Lookup(response, "output")) {
			s.item(&m, it)
		}
		q.Say(0, &m)
	}
	finish, native, err := s.ending(s.x, response)
	if kind == "response.failed" && err == nil {
		err = failed(s.x, response)
	}
	if err != nil {
		q.Early(func() *translate.Usage { return usage })
		return err
	}
	q.Finish(0, finish, native)
	q.Usage(usage)
	return io.EOF
}

// at returns the item that an event is about.
func (s *stream) at(data []byte) *item {
	key := string(jsonraw.Lookup(data, "output_index"))
	if key == "" {
		key = jsonraw.Text(jsonraw.Lookup(data, "item_id"))
	}
	it := s.items[key]
	if it == nil {
		it = &item{said: make(map[string]int)}
		s.items[key] = it
	}
	return it
}

// rest appends the remainder of a complete text, after what already arrived in pieces.
func (it *item) rest(to *translate.Words, part string, whole []byte) {
	text := jsonraw.Text(whole)
	said := min(it.said[part], len(text))
	it.said[part] = len(text)
	to.AddText(text[said:])
}

// next appends the next piece of a text.
func (it *item) next(to *translate.Words, part string, piece []byte) {
	it.said[part] += len(jsonraw.Quoted(piece).Bytes())
	to.Add(piece)
}

// event reads an event about one item. Each text arrives in pieces and then once more in
// full, of which only what was missing from the pieces is used.
func (s *stream) event(m *translate.Message, kind string, data []byte) {
	it := s.at(data)
	part := string(jsonraw.Lookup(data, "content_index"))
	delta := jsonraw.Lookup(data, "delta")
	switch kind {
	case "response.output_item.added":
		s.added(m, it, jsonraw.Lookup(data, "item"))
	case "response.output_text.delta":
		it.next(&m.Text, "text"+part, delta)
		if l := jsonraw.Lookup(data, "logprobs"); len(l) > len("[]") {
			m.Logprobs = logprobs(l)
		}
	case "response.output_text.done":
		it.rest(&m.Text, "text"+part, jsonraw.Lookup(data, "text"))
	case "response.refusal.delta":
		it.next(&m.Refusal, "refusal"+part, delta)
	case "response.refusal.done":
		it.rest(&m.Refusal, "refusal"+part, jsonraw.Lookup(data, "refusal"))
	case "response.function_call_arguments.delta", "response.custom_tool_call_input.delta":
		s.piece(m, it, delta, it.next)
	case "response.function_call_arguments.done":
		s.piece(m, it, jsonraw.Lookup(data, "arguments"), it.rest)
	case "response.custom_tool_call_input.done":
		s.piece(m, it, jsonraw.Lookup(data, "input"), it.rest)
	case "response.reasoning_summary_part.added":
		s.paragraph(m)
	case "response.reasoning_summary_text.delta":
		it.next(&m.Reasoning, "summary", delta)
		s.thought = true
	case "response.reasoning_text.delta":
		it.next(&m.Reasoning, "thought"+part, delta)
	case "response.output_text.annotation.added":
		cite(m, jsonraw.Lookup(data, "annotation"))
	case "response.output_item.done":
		s.done(m, it, jsonraw.Lookup(data, "item"))
	}
}

// added begins a call.
func (s *stream) added(m *translate.Message, it *item, raw []byte) {
	kind := jsonraw.Text(jsonraw.Lookup(raw, "type"))
	if kind != "function_call" && kind != "custom_tool_call" || it.begun {
		return
	}
	it.begun, it.call, it.custom = true, s.calls, kind == "custom_tool_call"
	s.call(m, raw, nil)
	m.Calls[0].Custom = it.custom
	it.next(&m.Calls[0].Arguments, "arguments", arguments(raw))
}

func arguments(raw []byte) []byte {
	if v := jsonraw.Lookup(raw, "arguments"); v != nil {
		return v
	}
	return jsonraw.Lookup(raw, "input")
}

// piece appends to the arguments of a call.
func (s *stream) piece(m *translate.Message, it *item, text []byte, take func(to *translate.Words, part string, text []byte)) {
	c := translate.ToolCall{Index: it.call, Custom: it.custom}
	if take(&c.Arguments, "arguments", text); len(c.Arguments) > 0 && it.begun {
		m.Calls = append(m.Calls, c)
	}
}

// done adds whatever part of an item did not arrive in pieces.
func (s *stream) done(m *translate.Message, it *item, raw []byte) {
	switch kind := jsonraw.Text(jsonraw.Lookup(raw, "type")); kind {
	case "function_call", "custom_tool_call":
		if !it.begun {
			s.added(m, it, raw)
			return
		}
		s.piece(m, it, arguments(raw), it.rest)
	case "reasoning":
		if it.said["summary"] == 0 && it.said["thought0"] == 0 {
			s.item(m, raw)
			return
		}
		s.keep(m, raw)
	case "message":
		if len(it.said) == 0 {
			s.item(m, raw)
		}
	case "image_generation_call":
		s.item(m, raw)
	}
}
