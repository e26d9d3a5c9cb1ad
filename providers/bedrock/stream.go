package bedrock

import (
	"io"
	"slices"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// Stream reads a streamed response.
func (a completions) Stream(x providers.Exchange, body io.ReadCloser) chat.Stream {
	return translate.NewStream(a.events(x, newFrames(body).next), body)
}

// events reads a streamed response from frames.
func (a completions) events(x providers.Exchange, next func() (frame, error)) *stream {
	return &stream{next: next, format: familyOf(x.Target.Upstream).format(), head: a.head(x)}
}

// stream ends cleanly if the connection ends after a stop reason arrived.
type stream struct {
	next   func() (frame, error)
	format string // of the reasoning
	head   translate.Head
	open   []block
	calls  int          // calls that began
	think  int          // blocks of reasoning that began
	chars  int64        // of the text so far
	did    chat.Metered // by the provider's own tools
	done   bool
}

// block is a content block that is being streamed.
type block struct {
	index     string // as written in the events
	call      int    // index of the tool call; -1 for none
	thought   int    // index of the reasoning block; -1 for none
	pieces    bool   // arguments came
	start     int64  // where its text begins
	citations [][]byte
}

// Step reads one event. Unknown events produce nothing.
func (s *stream) Step(e *translate.Emitter) error {
	f, err := s.next()
	if err != nil {
		return err
	}
	if f.failed {
		_, text := said(nil, f.data)
		return failed(0, f.name, text)
	}
	if err := translate.Valid(f.data); err != nil {
		return err
	}
	if e.ID == "" {
		e.Head = s.head
	}
	var m translate.Message
	switch f.name {
	case "messageStart":
		e.Begin(0)
	case "contentBlockStart":
		s.start(&m, f.data)
	case "contentBlockDelta":
		s.delta(&m, f.data)
	case "contentBlockStop":
		s.stop(&m, f.data)
	case "messageStop":
		if stop := jsonraw.Text(jsonraw.Lookup(f.data, "stopReason")); stop != "" && !s.done {
			s.done = true
			e.Finish(0, finish(stop, s.calls), stop)
		}
	case "metadata":
		e.Tier = tier(jsonraw.Lookup(f.data, "serviceTier"))
		u := usage(jsonraw.Lookup(f.data, "usage"))
		if u != nil {
			u.Metered.Include(s.did)
		}
		e.Usage(u)
	}
	e.Say(0, &m)
	return nil
}

// at returns the block that an event is about. Text blocks begin without a start event.
func (s *stream) at(data []byte) *block {
	index := string(jsonraw.Lookup(data, "contentBlockIndex"))
	i := slices.IndexFunc(s.open, func(b block) bool { return b.index == index })
	if i < 0 {
		i = len(s.open)
		s.open = append(s.open, block{index: index, call: -1, thought: -1, start: s.chars})
	}
	return &s.open[i]
}

func (s *stream) start(m *translate.Message, data []byte) {
	b := s.at(data)
	value := jsonraw.Lookup(data, "start", "toolUse")
	if value == nil {
		return
	}
	if c, ok := readCall(value); ok {
		b.call, c.Index = s.calls, s.calls
		s.calls++
		m.Calls = []translate.ToolCall{c}
	} else {
		count(&s.did, value)
	}
}

func (s *stream) delta(m *translate.Message, data []byte) {
	b := s.at(data)
	for name, value := range jsonraw.Each(jsonraw.Lookup(data, "delta")) {
		switch string(name) {
		case "text":
			s.chars += translate.Characters(value)
			m.Text.Add(value)
		case "toolUse":
			b.argue(m, translate.WordsOf(jsonraw.Lookup(value, "input")))
		case "reasoningContent":
			if b.thought < 0 {
				b.thought = s.think
				s.think++
			}
			t := thought(b.thought, s.format, value, value)
			if len(t.Text) == 0 {
				t.Text = nil
			}
			m.Think(t)
		case "citation":
			b.citations = append(b.citations, slices.Clone(value))
		}
	}
}

// argue appends to the arguments of a call.
func (b *block) argue(m *translate.Message, piece translate.Words) {
	if len(piece) > 0 && b.call >= 0 {
		b.pieces = true
		m.Calls = append(m.Calls, translate.ToolCall{Index: b.call, Arguments: piece})
	}
}

// stop ends a block. A call to a tool that takes nothing has no arguments.
func (s *stream) stop(m *translate.Message, data []byte) {
	b := s.at(data)
	if !b.pieces {
		b.argue(m, translate.Words("{}"))
	}
	for _, c := range b.citations {
		m.Cite(source(c, b.start, s.chars))
	}
	b.index = "ended" // matches no real index
}
