package translate

import (
	"errors"
	"fmt"
	"io"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Source is one provider's stream. Step reads on a little and puts what it says
// into q. io.EOF is a clean end; what was put before it still counts.
type Source interface {
	Step(q *Queue) error
}

// NewStream makes the chunks of what s says. It closes body with itself.
func NewStream(s Source, body io.Closer) chat.Stream {
	return &stream{source: s, body: body, queue: Queue{begun: make(map[int]bool)}}
}

type stream struct {
	source Source
	body   io.Closer
	queue  Queue
	end    error
}

var _ chat.Stream = (*stream)(nil)

// Next is the next chunk.
func (s *stream) Next() (chat.Chunk, error) {
	for len(s.queue.list) == 0 {
		if s.end != nil {
			return chat.Chunk{}, s.end
		}
		s.end = s.source.Step(&s.queue)
		if s.queue.err != nil && (s.end == nil || errors.Is(s.end, io.EOF)) {
			s.end = s.queue.err
		}
		if errors.Is(s.end, io.EOF) && !s.queue.finished {
			s.end = io.ErrUnexpectedEOF
		}
	}
	c := s.queue.list[0]
	s.queue.list = s.queue.list[1:]
	return c, nil
}

// Close closes the body.
func (s *stream) Close() error { return s.body.Close() }

// Queue holds the chunks that are made and not yet read.
type Queue struct {
	Head

	list     []chat.Chunk
	begun    map[int]bool // choices whose role was told
	finished bool
	err      error
}

// Say is the next piece of a choice; one that says nothing adds nothing.
func (q *Queue) Say(choice int, m Message) {
	var delta jsonraw.Object
	if m.Text != "" {
		delta.Text("content", m.Text)
	}
	m.members(&delta, Said.piece)
	if delta.Empty() && m.Logprobs == nil {
		return
	}
	q.put(choice, delta, m.Logprobs, "", "")
}

// Finish ends a choice.
func (q *Queue) Finish(choice int, reason, native string) {
	q.finished = true
	q.put(choice, jsonraw.Object{}, nil, reason, native)
}

func (q *Queue) put(choice int, delta jsonraw.Object, logprobs []byte, finish, native string) {
	var c, d jsonraw.Object
	if !q.begun[choice] {
		q.begun[choice] = true
		d.Text("role", "assistant")
		if delta.Empty() {
			d.Text("content", "")
		}
	}
	d.Join(delta)
	c.Int("index", int64(choice))
	c.Raw("delta", d.Bytes())
	c.Raw("logprobs", orNull(logprobs))
	if finish == "" {
		c.Raw("finish_reason", []byte("null"))
	} else {
		c.Text("finish_reason", finish)
	}
	c.Some("native_finish_reason", native)
	q.chunk(c.Bytes(), nil)
}

// Usage is the chunk that ends a stream with what it used.
func (q *Queue) Usage(u *Usage) {
	if u != nil {
		q.chunk(nil, u)
	}
}

func (q *Queue) chunk(choice []byte, u *Usage) {
	o := q.object("chat.completion.chunk")
	var choices [][]byte
	if choice != nil {
		choices = [][]byte{choice}
	}
	o.Raw("choices", jsonraw.Array(choices))
	if u != nil {
		o.Raw("usage", u.object())
	}
	c, err := chat.ParseChunk(oneLine(o.Bytes()))
	if err != nil {
		q.err = fmt.Errorf("translate: %w", err)
		return
	}
	if c.Usage != nil {
		c.Usage.Invalid = c.Usage.Invalid || u.Invalid
	}
	q.list = append(q.list, c)
}
