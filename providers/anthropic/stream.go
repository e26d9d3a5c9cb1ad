package anthropic

import (
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"

	"tallyroute/providers"
	"tallyroute/providers/blocks"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/sse"
)

// Stream reads a streamed answer.
func (a Adapter) Stream(_ providers.Exchange, body io.ReadCloser) chat.Stream {
	r := sse.NewReader(body)
	return a.Events(func() ([]byte, error) {
		ev, err := r.Next()
		return ev.Data, err
	}, body)
}

// Events reads a streamed answer whose events come from next, each as JSON, valid
// until the next call; io.EOF ends them. Closing the stream closes c.
func (a Adapter) Events(next func() ([]byte, error), c io.Closer) chat.Stream {
	s := &stream{next: next, Closer: c}
	s.emit.Head.Created = a.now()
	return s
}

var errRestart = errors.New("anthropic: the answer begins a second time, after parts of it were passed on")

// stream ends well with message_stop, or without it when a stop reason came.
type stream struct {
	io.Closer

	next  func() ([]byte, error)
	emit  blocks.Emitter
	open  []block // those that have not ended
	calls int     // that began
	think int     // blocks of reasoning that began
	chars int     // of the text so far
	usage usage
	begun bool // message_start came
	done  bool // a stop reason came
	end   error
}

var _ chat.Stream = (*stream)(nil)

// block is one that is being streamed.
type block struct {
	index     string // as it stands in the events
	kind      string
	number    int // of the call, or of the reasoning
	input     []byte
	pieces    bool // arguments came
	start     int
	citations [][]byte
}

// Next is the next chunk.
func (s *stream) Next() (chat.Chunk, error) {
	for {
		if c, ok := s.emit.Next(); ok {
			return c, nil
		}
		if s.end != nil {
			return chat.Chunk{}, s.end
		}
		data, err := s.next()
		switch {
		case errors.Is(err, io.EOF) && !s.done:
			s.end = io.ErrUnexpectedEOF
		case err != nil:
			s.end = err
		default:
			s.end = s.event(data)
		}
		if err := s.emit.Err(); err != nil && s.end == nil {
			s.end = &providers.Error{Kind: providers.KindBroken, Err: err}
		}
	}
}

// event takes in one event. Pings and what is not known leave nothing behind.
func (s *stream) event(data []byte) error {
	if !json.Valid(data) {
		return &providers.Error{Kind: providers.KindBroken, Err: errShape}
	}
	kind := jsonraw.Text(jsonraw.Lookup(data, "type"))
	switch kind {
	case "message_start":
		return s.start(jsonraw.Lookup(data, "message"))
	case "content_block_start":
		s.blockStart(data)
	case "content_block_delta":
		s.delta(data)
	case "content_block_stop":
		s.blockStop(string(jsonraw.Lookup(data, "index")))
	case "message_delta":
		s.message(data)
	case "message_stop":
		if s.done {
			return io.EOF
		}
		return io.ErrUnexpectedEOF
	case "error":
		return inBody(data)
	case "":
		if d, ok := chat.ParseError(data); ok {
			return said(d)
		}
	}
	return nil
}

// start begins the answer. One that begins again is another one: some hosts start
// over when their first try breaks off, and what was passed on cannot be taken back.
func (s *stream) start(message []byte) error {
	if s.begun {
		return &providers.Error{Kind: providers.KindBroken, Err: errRestart}
	}
	s.begun = true
	s.usage.read(jsonraw.Lookup(message, "usage"))
	h := &s.emit.Head
	h.ID, h.Model, h.Tier = jsonraw.Text(jsonraw.Lookup(message, "id")), jsonraw.Text(jsonraw.Lookup(message, "model")), s.usage.tier
	s.emit.Role()
	return nil
}

func (s *stream) blockStart(data []byte) {
	c := readBlock(jsonraw.Lookup(data, "content_block"))
	b := block{index: string(jsonraw.Lookup(data, "index")), kind: c.kind, start: s.chars}
	switch c.kind {
	case "text":
		s.text(c.text)
	case "thinking":
		b.number = s.think
		s.think++
		s.emit.Thought(blocks.Detail{Index: b.number, Text: jsonraw.Inside(c.text), Signature: blocks.Some(c.signature), Format: Format})
	case "redacted_thinking":
		s.emit.Thought(blocks.Detail{Index: s.think, Data: jsonraw.Inside(c.text), Format: Format})
		s.think++
	case "tool_use":
		b.number, b.input = s.calls, append([]byte(nil), c.input...)
		s.calls++
		name := append([]byte(nil), c.name...)
		s.emit.Call(b.number, blocks.ToolCall{ID: jsonraw.Text(c.id), Name: name})
	}
	s.open = append(s.open, b)
}

func (s *stream) text(raw []byte) {
	s.chars += utf8.RuneCount(jsonraw.Quoted(raw).Bytes())
	s.emit.Text(jsonraw.Inside(raw))
}

// find is the open block with an index, nil where there is none.
func (s *stream) find(index string) *block {
	for i := range s.open {
		if s.open[i].index == index {
			return &s.open[i]
		}
	}
	return nil
}

func (s *stream) delta(data []byte) {
	b := s.find(string(jsonraw.Lookup(data, "index")))
	if b == nil {
		return
	}
	for name, value := range jsonraw.Each(jsonraw.Lookup(data, "delta")) {
		switch string(name) {
		case "text":
			if b.kind == "text" {
				s.text(value)
			}
		case "thinking":
			s.emit.Thought(blocks.Detail{Index: b.number, Text: jsonraw.Inside(value), Format: Format})
		case "signature":
			s.emit.Thought(blocks.Detail{Index: b.number, Signature: blocks.Some(value), Format: Format})
		case "partial_json":
			if b.kind == "tool_use" && len(jsonraw.Inside(value)) > 0 {
				b.pieces = true
				s.emit.Arguments(b.number, jsonraw.Inside(value))
			}
		case "citation":
			b.citations = append(b.citations, append([]byte(nil), value...))
		}
	}
}

// blockStop ends a block. Arguments that did not come in pieces came with the
// start, and are {} where the tool takes none.
func (s *stream) blockStop(index string) {
	b := s.find(index)
	if b == nil {
		return
	}
	if b.kind == "tool_use" && !b.pieces {
		quoted := jsonraw.Quote(string(b.input))
		s.emit.Arguments(b.number, jsonraw.Inside(quoted))
	}
	var notes [][]byte
	for _, c := range b.citations {
		if n := annotation(c, b.start, s.chars); n != nil {
			notes = append(notes, n)
		}
	}
	s.emit.Annotations(notes)
	b.index = "ended" // no index reads like this
}

// message takes in what is told at the end: why it ended, and what was used.
func (s *stream) message(data []byte) {
	s.usage.read(jsonraw.Lookup(data, "usage"))
	delta := jsonraw.Lookup(data, "delta")
	stop := jsonraw.Text(jsonraw.Lookup(delta, "stop_reason"))
	if stop == "" || s.done {
		return
	}
	s.done = true
	reason := finish(stop)
	if reason == "stop" && s.calls > 0 {
		reason = "tool_calls"
	}
	if text := jsonraw.Text(jsonraw.Lookup(delta, "stop_details", "explanation")); stop == "refusal" && text != "" {
		s.emit.Refusal(text)
	}
	s.emit.Finish(reason, stop)
	if s.usage.found {
		s.emit.Usage(s.usage.Usage)
	}
}
