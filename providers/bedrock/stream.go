package bedrock

import (
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"

	"tallyroute/providers"
	"tallyroute/providers/blocks"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Stream reads a streamed answer.
func (a Adapter) Stream(x providers.Exchange, body io.ReadCloser) chat.Stream {
	return a.events(x, newFrames(body).next, body)
}

// events reads a streamed answer from frames.
func (a Adapter) events(x providers.Exchange, next func() (frame, error), c io.Closer) *stream {
	s := &stream{Closer: c, next: next, format: familyOf(x.Target.Upstream).format()}
	s.emit.Head = a.head(x)
	return s
}

// stream ends well where the connection ends after a stop reason came.
type stream struct {
	io.Closer

	next   func() (frame, error)
	format string // of reasoning
	emit   blocks.Emitter
	open   []block
	calls  int // that began
	think  int // blocks of reasoning that began
	chars  int // of the text so far
	done   bool
	end    error
}

var _ chat.Stream = (*stream)(nil)

// block is one that is being streamed.
type block struct {
	index     string // as it stands in the events
	call      int    // of a tool call; -1 for none
	thought   int    // of reasoning; -1 for none
	pieces    bool   // arguments came
	start     int    // where its text begins
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
		f, err := s.next()
		switch {
		case errors.Is(err, io.EOF) && !s.done:
			s.end = io.ErrUnexpectedEOF
		case err != nil:
			s.end = err
		default:
			s.end = s.event(f)
		}
		if err := s.emit.Err(); err != nil && s.end == nil {
			s.end = broken(err)
		}
	}
}

// event takes in one event. What is not known leaves nothing behind.
func (s *stream) event(f frame) error {
	if f.failed {
		_, text := said(nil, f.data)
		return failed(0, f.name, text)
	}
	return s.take(f.name, f.data)
}

func (s *stream) take(name string, data []byte) error {
	if !json.Valid(data) {
		return broken(errShape)
	}
	switch name {
	case "messageStart":
		s.emit.Role()
	case "contentBlockStart":
		s.start(data)
	case "contentBlockDelta":
		s.delta(data)
	case "contentBlockStop":
		s.stop(data)
	case "messageStop":
		if stop := jsonraw.Text(jsonraw.Lookup(data, "stopReason")); stop != "" && !s.done {
			s.done = true
			s.emit.Finish(finish(stop, s.calls), stop)
		}
	case "metadata":
		s.metadata(data)
	}
	return nil
}

// metadata tells what was used.
func (s *stream) metadata(data []byte) {
	var u usage
	u.read(jsonraw.Lookup(data, "usage"))
	s.emit.Head.Tier = tier(jsonraw.Lookup(data, "serviceTier"))
	if u.found {
		s.emit.Usage(u.Usage)
	}
}

// at is the block that an event is about. Texts begin without an event of their own.
func (s *stream) at(data []byte) *block {
	index := string(jsonraw.Lookup(data, "contentBlockIndex"))
	for i := range s.open {
		if s.open[i].index == index {
			return &s.open[i]
		}
	}
	s.open = append(s.open, block{index: index, call: -1, thought: -1, start: s.chars})
	return &s.open[len(s.open)-1]
}

func (s *stream) start(data []byte) {
	b := s.at(data)
	value := jsonraw.Lookup(data, "start", "toolUse")
	if value == nil {
		return
	}
	c := readCall(value)
	if c.server {
		return
	}
	b.call = s.calls
	s.calls++
	s.emit.Call(b.call, blocks.ToolCall{ID: c.id, Name: c.name})
}

func (s *stream) delta(data []byte) {
	b := s.at(data)
	for name, value := range jsonraw.Each(jsonraw.Lookup(data, "delta")) {
		switch string(name) {
		case "text":
			s.chars += utf8.RuneCount(jsonraw.Quoted(value).Bytes())
			s.emit.Text(jsonraw.Inside(value))
		case "toolUse":
			if piece := blocks.Some(jsonraw.Lookup(value, "input")); piece != nil && b.call >= 0 {
				b.pieces = true
				s.emit.Arguments(b.call, piece)
			}
		case "reasoningContent":
			s.reasoning(b, value)
		case "citation":
			b.citations = append(b.citations, append([]byte(nil), value...))
		}
	}
}

func (s *stream) reasoning(b *block, value []byte) {
	if b.thought < 0 {
		b.thought = s.think
		s.think++
	}
	d := blocks.Detail{
		Index: b.thought, Format: s.format,
		Text: blocks.Some(jsonraw.Lookup(value, "text")), Signature: blocks.Some(jsonraw.Lookup(value, "signature")),
	}
	if data := blocks.Some(jsonraw.Lookup(value, "redactedContent")); data != nil {
		d = blocks.Detail{Index: b.thought, Format: own, Data: data}
	}
	s.emit.Thought(d)
}

// stop ends a block. A call of a tool that takes nothing has no arguments.
func (s *stream) stop(data []byte) {
	b := s.at(data)
	if b.call >= 0 && !b.pieces {
		s.emit.Arguments(b.call, []byte("{}"))
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
