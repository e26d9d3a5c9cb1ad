package anthropic

import (
	"errors"
	"io"
	"slices"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/sse"
	"tallyroute/providers/translate"
)

// Stream reads a streamed response.
func (a Completions) Stream(x providers.Exchange, body io.ReadCloser) chat.Stream {
	r := sse.NewReader(body)
	return a.events(x, &stream{next: func() ([]byte, error) {
		ev, err := r.Next()
		return ev.Data, err
	}}, body)
}

// Events reads a streamed response whose events come from next, each as JSON that is valid
// until the following call; io.EOF ends them. Closing the stream closes c.
func (a Completions) Events(x providers.Exchange, next func() ([]byte, error), c io.Closer) chat.Stream {
	return a.events(x, &stream{next: next}, c)
}

func (a Completions) events(x providers.Exchange, s *stream, c io.Closer) chat.Stream {
	s.created = a.now()
	if x.Native == nil {
		return translate.NewStream(s, c)
	}
	next, last := translate.Tap(s.next)
	s.next = next
	return translate.NewNativeStream(s, last, c)
}

var errRestart = errors.New("anthropic: the answer begins a second time, after parts of it were passed on")

// stream ends cleanly with message_stop, or without it once a stop reason has arrived.
type stream struct {
	next    func() ([]byte, error)
	dry     bool // next has returned an error
	created int64
	open    []block // blocks that have not ended
	calls   int     // calls that began
	think   int     // blocks of reasoning that began
	chars   int64   // of the text so far
	usage   usage
	first   usage            // as the start reported it
	before  *translate.Usage // of the complete messages before this one
	id      string
	begun   bool // message_start came
	done    bool // a stop reason came
	over    bool // message_stop came
}

// Ended implements translate.Ender.
func (s *stream) Ended() bool { return s.dry }

// block is a content block that is being streamed.
type block struct {
	index     string // as written in the events
	kind      string
	number    int // of the call or of the reasoning block
	input     []byte
	pieces    bool // arguments came
	start     int64
	citations [][]byte
}

// event holds the members that most events have.
type event struct {
	kind         []byte // not quoted
	index, delta []byte // as JSON, nil if absent
}

// read reads an event in a single pass, and reports whether it is JSON.
func read(data []byte) (e event, ok bool) {
	c := jsonraw.NewCursor(data)
	c.Object(func(name []byte) {
		value := c.Skip()
		switch string(name) {
		case "type":
			e.kind = jsonraw.Inside(value)
		case "index":
			e.index = value
		case "delta":
			e.delta = value
		}
	})
	return e, c.Done()
}

// Step reads one event. Pings and unknown events produce nothing.
func (s *stream) Step(e *translate.Emitter) error {
	data, err := s.next()
	if err != nil {
		s.dry = true
		return err
	}
	ev, ok := read(data)
	if !ok {
		return translate.Broken(translate.NoJSON())
	}
	var m translate.Message
	switch string(ev.kind) {
	case "message_start":
		return s.start(e, jsonraw.Lookup(data, "message"))
	case "content_block_start":
		if s.blockStart(&m, data); len(m.Calls) == 0 && strings.HasSuffix(s.open[len(s.open)-1].kind, "_tool_use") {
			e.Work()
		}
	case "content_block_delta":
		s.delta(&m, ev)
	case "content_block_stop":
		s.blockStop(&m, ev.index)
	case "message_delta":
		s.ended(e, data)
	case "message_stop":
		s.over = true
		return io.EOF
	case "error":
		return inBody(data)
	case "":
		if d, ok := chat.ParseError(data); ok {
			return said(d)
		}
	}
	e.Say(0, &m)
	return nil
}

// start begins the answer. A second start is an error: some hosts start over when their
// first attempt breaks off, but what was already passed on cannot be taken back.
func (s *stream) start(e *translate.Emitter, message []byte) error {
	id := jsonraw.Text(jsonraw.Lookup(message, "id"))
	if s.over || s.done { // the client does not get the new message, but it is billed
		before := s.before
		if id != s.id {
			before = s.inAll()
		}
		*s = stream{next: s.next, created: s.created, before: before}
	}
	if s.begun {
		return translate.Broken(errRestart)
	}
	s.begun, s.id = true, id
	s.usage.read(jsonraw.Lookup(message, "usage"))
	s.usage.contained(jsonraw.Lookup(message, "container"))
	s.first = s.usage
	e.Head = translate.Head{
		ID: id, Model: jsonraw.Text(jsonraw.Lookup(message, "model")),
		Created: s.created, Tier: s.usage.served(),
	}
	e.Early(s.usage.whole)
	e.Begin(0)
	return nil
}

func (s *stream) blockStart(m *translate.Message, data []byte) {
	c := readBlock(jsonraw.Lookup(data, "content_block"))
	b := block{index: string(jsonraw.Lookup(data, "index")), kind: c.kind, start: s.chars}
	switch c.kind {
	case "text":
		s.text(m, c.text)
	case "thinking", "redacted_thinking":
		b.number = s.think
		s.think++
		m.Think(c.thought(b.number))
	case "tool_use":
		b.number, b.input = s.calls, slices.Clone(c.input)
		s.calls++
		m.Calls = []translate.ToolCall{{Index: b.number, ID: jsonraw.Text(c.id), Name: translate.WordsOf(c.name)}}
	}
	s.open = append(s.open, b)
}

func (s *stream) text(m *translate.Message, raw []byte) {
	s.chars += translate.Characters(raw)
	m.Text.Add(raw)
}

// find returns the open block with an index, or nil if there is none.
func (s *stream) find(index []byte) *block {
	i := slices.IndexFunc(s.open, func(b block) bool { return b.index == string(index) })
	if i < 0 {
		return nil
	}
	return &s.open[i]
}

func (s *stream) delta(m *translate.Message, e event) {
	b := s.find(e.index)
	if b == nil { // the block did not begin, or has ended
		b = &block{kind: "text"}
	}
	for name, value := range jsonraw.Each(e.delta) {
		switch string(name) {
		case "text":
			if b.kind == "text" {
				s.text(m, value)
			}
		case "thinking":
			m.Think(translate.Thought{Index: b.number, Format: Format, Text: translate.WordsOf(value)})
		case "signature":
			m.Think(translate.Thought{Index: b.number, Format: Format, Signature: translate.WordsOf(value)})
		case "partial_json":
			if b.kind == "tool_use" {
				b.argue(m, translate.WordsOf(value))
			}
		case "citation":
			b.citations = append(b.citations, slices.Clone(value))
		}
	}
}

// argue appends to the arguments of a call.
func (b *block) argue(m *translate.Message, piece translate.Words) {
	if len(piece) > 0 {
		b.pieces = true
		m.Calls = append(m.Calls, translate.ToolCall{Index: b.number, Arguments: piece})
	}
}

// blockStop ends a block. Arguments that did not arrive in pieces arrived with the start
// of the block, and are {} if the tool takes none.
func (s *stream) blockStop(m *translate.Message, index []byte) {
	b := s.find(index)
	if b == nil {
		return
	}
	if b.kind == "tool_use" && !b.pieces {
		var whole translate.Words
		whole.AddText(string(b.input))
		b.argue(m, whole)
	}
	for _, c := range b.citations {
		m.Cite(source(c, b.start, s.chars))
	}
	b.index = "ended" // matches no real index
}

// ended reads the final report: why the answer ended, and what was used.
func (s *stream) ended(e *translate.Emitter, data []byte) {
	s.usage.read(jsonraw.Lookup(data, "usage"))
	s.usage.raise(&s.first)
	delta := jsonraw.Lookup(data, "delta")
	s.usage.contained(jsonraw.Lookup(delta, "container"))
	stop := jsonraw.Text(jsonraw.Lookup(delta, "stop_reason"))
	if s.done {
		e.Usage(s.inAll())
		return
	}
	if stop == "" {
		e.Early(s.usage.whole)
		return
	}
	s.done = true
	if stop == "refusal" {
		e.Say(0, &translate.Message{Unbilled: true, Refusal: translate.WordsOf(jsonraw.Lookup(delta, "stop_details", "explanation"))})
	}
	e.Finish(0, finish(stop, s.calls), stop)
	e.Tier = s.usage.served()
	e.Usage(s.inAll())
}

// inAll returns the usage of all messages in the stream.
func (s *stream) inAll() *translate.Usage { return s.before.Plus(s.usage.whole()) }
