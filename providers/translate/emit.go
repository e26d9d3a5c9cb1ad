package translate

import (
	"errors"
	"io"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Source is one provider's stream. Step reads a little further and lets e emit what it finds.
// io.EOF is a clean end; anything emitted before it still counts.
type Source interface {
	Step(e *Emitter) error
}

// Ender is a Source whose stream may continue after the end that its format defines.
type Ender interface {
	// Ended reports whether nothing more can be read.
	Ended() bool
}

// NewStream returns a stream of chunks with what s says. Closing the stream closes body.
func NewStream(s Source, body io.Closer) chat.Stream {
	return &stream{source: s, Closer: body}
}

// NewNativeStream returns a stream with one chunk per event, for a client that speaks the
// provider's format: a chunk's data is the event's own bytes, and its other fields are what s
// says about it. event returns what s read last, or nil if there was nothing.
func NewNativeStream(s Source, event func() []byte, body io.Closer) chat.Stream {
	return &stream{source: s, event: event, Closer: body, emitter: Emitter{silent: true}}
}

// Tap wraps next, and also returns a function that returns what next read last.
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
	event   func() []byte // for a stream that passes events on; otherwise nil
	emitter Emitter
	end     error
}

var _ chat.Stream = (*stream)(nil)

// Next returns the next chunk.
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

// step reads a little further.
func (s *stream) step() {
	e := &s.emitter
	e.list, e.next = e.list[:0], 0
	s.end = s.source.Step(e)
	if errors.Is(s.end, io.EOF) && !e.finished {
		s.end = io.ErrUnexpectedEOF
	}
}

// behind returns usage that follows the end of the stream, if it exceeds what was reported
// before.
func (s *stream) behind() (chat.Chunk, error) {
	providers.EndSoon(s.Closer)
	source, ok := s.source.(Ender)
	for ok && errors.Is(s.end, io.EOF) && !source.Ended() {
		later := Emitter{Head: s.emitter.Head, silent: s.event != nil}
		_ = s.source.Step(&later) // further errors after the end do not matter
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

// Work notes that a tool at the provider has begun to work. To a client that is shown this,
// it is content.
func (e *Emitter) Work() { e.works = true }

// together combines what an event says into one chunk.
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

// Told returns the usage reported so far.
func (s *stream) Told() chat.Told {
	e := &s.emitter
	e.told.Model = e.Model
	if e.early == nil {
		return e.told
	}
	return e.told.With(e.early().Chat(e.Tier))
}

// Emitter writes the chunks of a streamed response. They need not be parsed again, because
// the emitter records what they say.
type Emitter struct {
	Head

	list     []chat.Chunk
	next     int            // index in list of the first chunk not yet returned
	silent   bool           // events are passed on as they came: their meaning is recorded, but no chunk is written
	works    bool           // a tool at the provider has begun work that no chunk reports
	begun    []int          // choices whose role has been sent
	finished bool           // a choice has been finished
	first    jsonraw.Object // the buffer for the first chunk of each step
	id       string
	quoted   []byte // id as JSON
	model    string
	named    []byte // model as JSON
	told     chat.Told
	early    func() *Usage // set if usage was reported while the response was going on
}

// Begin sends the role of a choice before its content, for providers that announce an answer.
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

// began notes that a choice has begun, and reports whether it already had.
func (e *Emitter) began(choice int) bool {
	for _, c := range e.begun {
		if c == choice {
			return true
		}
	}
	e.begun = append(e.begun, choice)
	return false
}

// Say emits the next piece of a choice. An empty piece adds nothing.
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

// Finish ends a choice, with the reason in OpenAI's words and in the provider's.
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

// open begins a chunk of one choice, up to the inside of its delta.
func (e *Emitter) open(choice int) *jsonraw.Object {
	o := e.head()
	o.Open('{')
	o.Int("index", int64(choice))
	o.Key("delta")
	o.Open('{')
	return o
}

// close ends a chunk that open began and that does not finish a choice.
func (e *Emitter) close(o *jsonraw.Object, c chat.Chunk, logprobs []byte) {
	o.Close('}')
	o.Raw("logprobs", orNull(logprobs))
	o.Word("finish_reason", "null")
	e.put(o, c)
}

// put ends the choice and emits the chunk.
func (e *Emitter) put(o *jsonraw.Object, c chat.Chunk) {
	o.Close('}')
	o.Close(']')
	e.add(o, c)
}

// head begins a chunk, up to the inside of its choices. The first chunk of a step reuses the
// buffer of the one in the step before.
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

// quote updates the id and the model as JSON.
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

// note emits a chunk, whether it was written or not.
func (e *Emitter) note(c chat.Chunk) {
	e.quote()
	c.ID, c.Model = e.quoted, e.named
	e.told.Note(&c)
	e.list = append(e.list, c)
}

// Early notes that usage was reported while the response is going on. It is read only if the
// response is cut short.
func (e *Emitter) Early(u func() *Usage) {
	e.early = u
	e.told.Mark()
}

// Usage emits the chunk that ends a stream with its usage. It adds nothing if u is nil or
// does not exceed what such a chunk has already reported.
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
