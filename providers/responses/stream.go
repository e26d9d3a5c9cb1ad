package responses

import (
	"bytes"
	"io"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// Stream reads a streamed response.
func (a completions) Stream(x providers.Exchange, body io.ReadCloser) chat.Stream {
	frames := translate.NewFrames(body).Unchecked()
	s := &stream{a: a, x: x, Frames: frames, next: frames.Next, items: make(map[string]*item)}
	if x.Native != nil {
		next, last := translate.Tap(s.next)
		s.next = next
		return translate.NewNativeStream(s, last, body)
	}
	return translate.NewStream(s, body)
}

// stream ends with the event that completes the response. Further responses in the same stream
// are billed as well.
type stream struct {
	*translate.Frames

	a    completions
	x    providers.Exchange
	next func() ([]byte, error)
	speaker
	items map[string]*item // by output_index

	early        *translate.Usage // reported before the end
	id           string           // of the response that ended last
	last, before *translate.Usage // of that response, and of all that ended before it
}

// item is one item of a streamed output, with how much of it was passed on.
type item struct {
	call   int // its index, if it is a call
	begun  bool
	custom bool
	said   map[piece]int // bytes passed on
}

// piece identifies a part of an item by the kind of its text and its index.
type piece struct {
	of string
	at int64
}

// event holds the members that most events have. Values are JSON, nil if absent.
type event struct {
	data, kind             []byte // kind is not quoted
	response, item         []byte
	index, itemID, content []byte
	delta, logprobs        []byte
}

// read reads an event in a single pass, and reports whether it is JSON.
func (s *stream) read(data []byte) (e event, ok bool) {
	e.data = data
	c := jsonraw.NewCursor(data)
	c.Object(func(name []byte) {
		value := c.Skip()
		switch string(name) {
		case "type":
			e.kind = jsonraw.Inside(value)
		case "response":
			e.response = value
		case "item":
			e.item = value
		case "output_index":
			e.index = value
		case "item_id":
			e.itemID = value
		case "content_index":
			e.content = value
		case "delta":
			e.delta = value
		case "logprobs":
			e.logprobs = value
		}
	})
	if len(e.kind) == 0 {
		e.kind = []byte(s.Name())
	}
	return e, c.Done()
}

func (e *event) member(name string) []byte { return jsonraw.Lookup(e.data, name) }

// of returns the part of the item that the event is about.
func (e *event) of(kind string) piece {
	var n translate.Counter
	return piece{kind, n.Take(e.content)}
}

// Step reads one event.
func (s *stream) Step(q *translate.Emitter) error {
	data, err := s.next()
	if err != nil {
		return err
	}
	e, ok := s.read(data)
	switch {
	case !ok:
		return translate.NoJSON()
	case string(e.kind) == "error" || len(e.kind) == 0 && jsonraw.Present(e.member("error")) != nil:
		return failed(s.x, data)
	case jsonraw.IsObject(e.response):
		r, _ := jsonraw.IndexOf(e.response)
		if q.ID == "" || bytes.HasSuffix(e.kind, []byte("completed")) {
			id := q.ID
			q.Head = s.a.head(s.x, r)
			if id != "" {
				q.ID = id
			}
		}
		return s.whole(q, string(e.kind), r)
	}
	if q.ID == "" {
		r, _ := jsonraw.IndexOf(data)
		q.Head = s.a.head(s.x, r)
	}
	if e.index == nil && e.itemID == nil {
		return nil // not about content
	}
	if string(e.kind) == "response.output_item.added" && strings.HasSuffix(jsonraw.Text(jsonraw.Lookup(e.item, "type")), "_call") {
		q.Work()
	}
	var m translate.Message
	s.event(&m, &e)
	q.Say(0, &m)
	return nil
}

// whole reads the events that carry the response so far.
func (s *stream) whole(q *translate.Emitter, kind string, response jsonraw.Index) error {
	usage := count(response)
	switch kind {
	case "response.completed", "response.incomplete", "response.failed", "response.done":
	default:
		if usage != nil {
			s.early = usage
			q.Early(func() *translate.Usage { return usage })
		}
		return nil
	}
	if len(s.items) == 0 && kind != "response.failed" { // nothing arrived in pieces
		var m translate.Message
		for it := range jsonraw.Elements(response.Get("output")) {
			s.item(&m, it)
		}
		q.Say(0, &m)
	}
	finish, native, err := s.ending(s.x, response)
	if kind == "response.failed" && err == nil {
		err = failed(s.x, response.Bytes())
	}
	if err != nil {
		q.Early(func() *translate.Usage { return usage })
		return err
	}
	q.Finish(0, finish, native)
	if s.early.Chat("").Exceeds(usage.Chat("")) {
		q.Usage(s.early)
	}
	q.Usage(s.inAll(jsonraw.Text(response.Get("id")), usage))
	return io.EOF
}

// inAll returns the usage of all responses in the stream, including the one that has just
// ended. If the same response ends twice, the larger of its usages counts.
func (s *stream) inAll(id string, usage *translate.Usage) *translate.Usage {
	switch {
	case id != s.id:
		s.id, s.last, s.before = id, usage, s.before.Plus(s.last)
	case usage.Chat("").Exceeds(s.last.Chat("")):
		s.last = usage
	}
	return s.before.Plus(s.last)
}

// at returns the item that an event is about.
func (s *stream) at(e *event) *item {
	key := e.index
	if len(key) == 0 {
		key = jsonraw.Quoted(e.itemID).Bytes()
	}
	it := s.items[string(key)]
	if it == nil {
		it = &item{said: make(map[piece]int)}
		s.items[string(key)] = it
	}
	return it
}

// rest appends the remainder of a complete text, after what already arrived in pieces.
func (it *item) rest(to *translate.Words, part piece, whole []byte) {
	text := jsonraw.Text(whole)
	said := min(it.said[part], len(text))
	it.said[part] = len(text)
	to.AddText(text[said:])
}

// next appends the next piece of a text.
func (it *item) next(to *translate.Words, part piece, text []byte) {
	it.said[part] += len(jsonraw.Quoted(text).Bytes())
	to.Add(text)
}

// event reads an event about one item. Each text arrives in pieces and then once more in
// full, of which only what was missing from the pieces is used.
func (s *stream) event(m *translate.Message, e *event) {
	it := s.at(e)
	switch string(e.kind) {
	case "response.output_item.added":
		s.added(m, it, e.item)
	case "response.output_text.delta":
		it.next(&m.Text, e.of("text"), e.delta)
		if len(e.logprobs) > len("[]") {
			m.Logprobs = logprobs(e.logprobs)
		}
	case "response.output_text.done":
		it.rest(&m.Text, e.of("text"), e.member("text"))
	case "response.refusal.delta":
		it.next(&m.Refusal, e.of("refusal"), e.delta)
	case "response.refusal.done":
		it.rest(&m.Refusal, e.of("refusal"), e.member("refusal"))
	case "response.function_call_arguments.delta", "response.custom_tool_call_input.delta":
		s.piece(m, it, e.delta, it.next)
	case "response.function_call_arguments.done":
		s.piece(m, it, e.member("arguments"), it.rest)
	case "response.custom_tool_call_input.done":
		s.piece(m, it, e.member("input"), it.rest)
	case "response.reasoning_summary_part.added":
		s.paragraph(m)
	case "response.reasoning_summary_text.delta":
		it.next(&m.Reasoning, piece{of: "summary"}, e.delta)
		s.thought = true
	case "response.reasoning_text.delta":
		it.next(&m.Reasoning, e.of("thought"), e.delta)
	case "response.output_text.annotation.added":
		cite(m, e.member("annotation"))
	case "response.output_item.done":
		s.done(m, it, e.item)
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
	it.next(&m.Calls[0].Arguments, piece{of: "arguments"}, arguments(raw))
}

func arguments(raw []byte) []byte {
	if v := jsonraw.Lookup(raw, "arguments"); v != nil {
		return v
	}
	return jsonraw.Lookup(raw, "input")
}

// piece appends to the arguments of a call.
func (s *stream) piece(m *translate.Message, it *item, text []byte, take func(to *translate.Words, part piece, text []byte)) {
	c := translate.ToolCall{Index: it.call, Custom: it.custom}
	if take(&c.Arguments, piece{of: "arguments"}, text); len(c.Arguments) > 0 && it.begun {
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
		if it.said[piece{of: "summary"}] == 0 && it.said[piece{of: "thought"}] == 0 {
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
