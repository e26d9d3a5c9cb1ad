package translate

import (
	"errors"
	"io"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Source is one provider's stream. Step reads on a little and lets e emit what it
// says. io.EOF is a clean end; what was emitted before it still counts.
type Source interface {
	Step(e *Emitter) error
}

// Waiter is a Source that knows whether more of its stream has come already.
type Waiter interface{ Waiting() bool }

// NewStream makes the chunks of what s says. It closes body with itself.
func NewStream(s Source, body io.Closer) chat.Stream {
	return &stream{source: s, Closer: body}
}

// NewNativeStream makes one chunk of each event of a stream, for a client that speaks the
// provider's format: its data are the event's own bytes, and what s says of it is told
// besides. event is what s has read last, nil where that was nothing.
func NewNativeStream(s Source, event func() []byte, body io.Closer) chat.Stream {
	return &stream{source: s, event: event, Closer: body, emitter: Emitter{silent: true}}
}

// Tap is next, and what it read last.
func Tap(next func() ([]byte, error)) (tapped func() ([]byte, error), last func() []byte) {
	var data []byte
	return func() ([]byte, error) {
		var err error
		data, err = next()
		return data, err
	}, func() []byte { return data }
}

type stream struct {
	io.Closer

	source  Source
	event   func() []byte // of one that passes events on; else nil
	emitter Emitter
	end     error
}

var _ chat.Stream = (*stream)(nil)

// Next is the next chunk.
func (s *stream) Next() (chat.Chunk, error) {
	e := &s.emitter
	for e.next == len(e.list) {
		if s.end != nil {
			return s.behind()
		}
		s.step()
		if s.event == nil {
			continue
		}
		if data := s.event(); len(data) > 0 && (s.end == nil || errors.Is(s.end, io.EOF)) {
			return e.together(oneLine(data)), nil
		}
		return s.behind()
	}
	e.next++
	return e.list[e.next-1], nil
}

// step reads on a little.
func (s *stream) step() {
	e := &s.emitter
	e.list, e.next = e.list[:0], 0
	s.end = s.source.Step(e)
	if errors.Is(s.end, io.EOF) && !e.finished {
		s.end = io.ErrUnexpectedEOF
	}
}

// behind is a usage that came together with the end of the stream, and tells more than
// what was told before. Nothing is waited for.
func (s *stream) behind() (chat.Chunk, error) {
	w, ok := s.source.(Waiter)
	for ok && errors.Is(s.end, io.EOF) && w.Waiting() {
		later := Emitter{Head: s.emitter.Head, silent: s.event != nil}
		_ = s.source.Step(&later) // what else is wrong behind the end does not matter
		for _, c := range later.list {
			if !c.Usage.Exceeds(s.emitter.told.Usage) {
				continue
			}
			if s.event != nil {
				c.Data = oneLine(s.event())
			}
			s.emitter.told.Note(&c)
			return c, nil
		}
	}
	return chat.Chunk{}, s.end
}

// Work notes that a tool at the provider has begun to work: to a client that is shown it,
// that is content.
func (e *Emitter) Work() { e.works = true }

// together is what an event says as one chunk.
func (e *Emitter) together(data []byte) chat.Chunk {
	c := chat.Chunk{Data: data, ID: e.quoted, Model: e.named, Content: e.works}
	e.works = false
	for i := range e.list {
		one := &e.list[i]
		c.Content = c.Content || one.Content
		c.Text += one.Text
		c.Thought += one.Thought
		c.Media += one.Media
		if c.Finish == "" {
			c.Finish = one.Finish
		}
		if one.Usage != nil {
			c.Usage = one.Usage
		}
		c.Role = c.Role || one.Role
	}
	e.next = len(e.list)
	return c
}

// Told is what was told of the usage so far.
func (s *stream) Told() chat.Told {
	e := &s.emitter
	e.told.Model = e.Model
	if e.early == nil {
		return e.told
	}
	return e.told.With(e.early().Chat(e.Tier))
}

// Emitter writes the chunks of a streamed answer. What it writes is not read again:
// it knows what it says.
type Emitter struct {
	Head

	list     []chat.Chunk
	next     int            // the first of list that was not taken yet
	silent   bool           // events pass as they came: what they say is noted, and no chunk is written
	works    bool           // a tool at the provider does, of which no chunk tells
	begun    []int          // choices whose role was told
	finished bool           // a choice was
	first    jsonraw.Object // the memory of the first chunk of each step
	id       string
	quoted   []byte // id as JSON
	model    string
	named    []byte // model as JSON
	told     chat.Told
	early    func() *Usage // where usage was told while the answer went on
}

// Begin tells the role of a choice before it says anything, where the provider
// announces an answer.
func (e *Emitter) Begin(choice int) {
	if e.began(choice) {
		return
	}
	c := chat.Chunk{Role: true}
	if e.silent {
		e.note(c)
		return
	}
	o := e.open(choice)
	o.Text("role", "assistant")
	o.Text("content", "")
	o.Word("refusal", "null")
	e.close(o, c, nil)
}

// began notes that a choice has begun, and reports whether it had before.
func (e *Emitter) began(choice int) bool {
	for _, c := range e.begun {
		if c == choice {
			return true
		}
	}
	e.begun = append(e.begun, choice)
	return false
}

// Say is the next piece of a choice; one that says nothing adds nothing.
func (e *Emitter) Say(choice int, m *Message) {
	says := m.says()
	silent := !says && len(m.Details)+len(m.Annotations) == 0
	if silent && m.Logprobs == nil {
		return
	}
	c := chat.Chunk{Content: says, Text: m.text(), Thought: len(m.Reasoning), Media: m.media(), Role: !e.began(choice)}
	if e.silent {
		e.note(c)
		return
	}
	o := e.open(choice)
	if c.Role {
		o.Text("role", "assistant")
	}
	if c.Role && silent {
		o.Text("content", "")
	}
	m.Text.member(o, "content")
	m.members(o, ToolCall.piece)
	e.close(o, c, m.Logprobs)
}

// Finish ends a choice: the reason in the words of OpenAI, and of the provider.
func (e *Emitter) Finish(choice int, reason, native string) {
	e.finished = true
	c := chat.Chunk{Finish: reason, Role: !e.began(choice)}
	if e.silent {
		e.note(c)
		return
	}
	o := e.open(choice)
	if c.Role {
		o.Text("role", "assistant")
		o.Text("content", "")
	}
	o.Close('}')
	o.Word("logprobs", "null")
	o.Text("finish_reason", reason)
	o.Some("native_finish_reason", native)
	e.put(o, c)
}

// open begins a chunk of one choice, as far as the inside of its delta.
func (e *Emitter) open(choice int) *jsonraw.Object {
	o := e.head()
	o.Open('{')
	o.Int("index", int64(choice))
	o.Key("delta")
	o.Open('{')
	return o
}

// close ends a chunk that open began and that ends no choice.
func (e *Emitter) close(o *jsonraw.Object, c chat.Chunk, logprobs []byte) {
	o.Close('}')
	o.Raw("logprobs", orNull(logprobs))
	o.Word("finish_reason", "null")
	e.put(o, c)
}

// put ends the choice, and hands over the chunk.
func (e *Emitter) put(o *jsonraw.Object, c chat.Chunk) {
	o.Close('}')
	o.Close(']')
	e.add(o, c)
}

// head begins a chunk, as far as the inside of its choices. The memory of a chunk is
// used again when the next one is asked for.
func (e *Emitter) head() *jsonraw.Object {
	o := &e.first
	if len(e.list) > 0 {
		o = &jsonraw.Object{}
	}
	o.Reset()
	e.quote()
	e.write(o, "chat.completion.chunk")
	o.Key("choices")
	o.Open('[')
	return o
}

// quote has the id and the model as JSON.
func (e *Emitter) quote() {
	if e.quoted == nil || e.id != e.ID {
		e.id, e.quoted = e.ID, jsonraw.Quote(e.ID)
	}
	if e.named == nil || e.model != e.Model {
		e.model, e.named = e.Model, jsonraw.Quote(e.Model)
	}
}

func (e *Emitter) add(o *jsonraw.Object, c chat.Chunk) {
	c.Data = oneLine(o.Bytes())
	e.note(c)
}

// note hands over a chunk, written or not.
func (e *Emitter) note(c chat.Chunk) {
	e.quote()
	c.ID, c.Model = e.quoted, e.named
	e.told.Note(&c)
	e.list = append(e.list, c)
}

// Early notes that usage was told while the answer goes on. It is read only if that
// does not come to its end.
func (e *Emitter) Early(u func() *Usage) {
	e.early = u
	e.told.Mark()
}

// Usage is the chunk that ends a stream with what it used; nil adds nothing, and neither
// does what is not more than was told in such a chunk before.
func (e *Emitter) Usage(u *Usage) {
	if u == nil {
		return
	}
	c := chat.Chunk{Usage: u.Chat(e.Tier), UsageOnly: true}
	if !c.Usage.Exceeds(e.told.Usage) && e.told.Usage != nil {
		return
	}
	if e.silent {
		e.note(c)
		return
	}
	o := e.head()
	o.Close(']')
	u.write(o)
	e.add(o, c)
}
