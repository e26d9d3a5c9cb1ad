package gemini

import (
	"errors"
	"io"
	"net/http"
	"slices"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/translate"
)

// Decode reads a complete, non-streamed response.
func (a completions) Decode(x providers.Exchange, _ http.Header, body []byte) (*chat.Response, error) {
	r, err := read(body)
	if err != nil {
		return nil, err
	}
	h := a.head(x, r, body)
	var choices []translate.Choice
	var found searches
	for _, c := range r.candidates {
		found.read(c.grounded)
		state := choice{id: h.ID, index: c.index}
		if len(r.candidates) == 1 && len(c.parts) == 0 && malformed(c.finish) {
			return nil, translate.Malformed("the model gave up: " + c.finish)
		}
		out := translate.Choice{Message: state.say(c), Index: c.index, Native: c.finish}
		out.Finish = finish(c.finish, state.calls)
		cite(&out.Message, out.Text.Text(), c.grounded)
		choices = append(choices, out)
	}
	if len(choices) == 0 && r.blocked != "" {
		choices = []translate.Choice{{Message: refusal(r.blocked), Finish: "content_filter", Native: r.blocked}}
	}
	if len(choices) == 0 {
		return nil, translate.Malformed("it has no candidates")
	}
	return translate.Response(h, choices, found.with(x, count(r.usage))), nil
}

// Stream reads a streamed response.
func (a completions) Stream(x providers.Exchange, body io.ReadCloser) chat.Stream {
	return translate.NewStream(&stream{a: a, x: x, frames: translate.NewFrames(body)}, body)
}

// stream ends with its connection. Only then is the last finish reason known, because some
// models send one with every piece.
type stream struct {
	a       completions
	x       providers.Exchange
	frames  *translate.Frames
	choices []*choice
	ends    []string // their finish reasons; "" if there is none yet
	blocked string
	usage   []byte
	sizes   [3]int64         // its main counts
	more    *translate.Usage // the usage before the last one, if that was larger
	found   searches
}

// Step reads one reply.
func (s *stream) Step(q *translate.Emitter) error {
	data, err := s.frames.Next()
	if errors.Is(err, io.EOF) {
		return s.end(q)
	}
	if err != nil {
		return err
	}
	r, err := read(data)
	if err != nil {
		return err
	}
	if q.ID == "" {
		q.Head = s.a.head(s.x, r, data)
	}
	if r.usage != nil {
		s.grow(r.usage)
		q.Tier = tier(s.usage)
	}
	if r.blocked != "" {
		s.blocked = r.blocked
	}
	for _, c := range r.candidates {
		i := s.at(q, c.index)
		m := s.choices[i].say(c)
		cite(&m, "", c.grounded)
		s.found.read(c.grounded)
		q.Say(c.index, &m)
		if c.finish != "" {
			s.ends[i] = c.finish
		}
	}
	if r.usage != nil {
		q.Early(s.told)
	}
	return nil
}

// grow records the usage of another chunk, which includes that of the chunks before it. Google
// may correct an early count by a token or two. If a count falls to less than half, the previous
// usage is kept as well, because usage that was reported once did occur.
func (s *stream) grow(usage []byte) {
	var n translate.Counter
	sizes := [...]int64{n.At(usage, "promptTokenCount"), n.At(usage, "candidatesTokenCount"), n.At(usage, "totalTokenCount")}
	for i := range sizes {
		if sizes[i] < s.sizes[i]/2 {
			s.more = count(s.usage)
		}
	}
	s.usage, s.sizes = slices.Clone(usage), sizes
}

// told returns the usage that Google reported with its latest piece.
func (s *stream) told() *translate.Usage { return s.found.with(s.x, count(s.usage)) }

// at returns the position of the choice with an index.
func (s *stream) at(q *translate.Emitter, index int) int {
	i := slices.IndexFunc(s.choices, func(c *choice) bool { return c.index == index })
	if i < 0 {
		i = len(s.choices)
		s.choices, s.ends = append(s.choices, &choice{id: q.ID, index: index}), append(s.ends, "")
	}
	return i
}

// end emits how the choices ended, if all of them did, and the usage.
func (s *stream) end(q *translate.Emitter) error {
	if len(s.choices) == 0 && s.blocked != "" {
		m := refusal(s.blocked)
		q.Say(0, &m)
		q.Finish(0, "content_filter", s.blocked)
		q.Usage(s.more)
		q.Usage(count(s.usage))
		return io.EOF
	}
	if len(s.choices) == 0 || slices.Contains(s.ends, "") {
		return io.EOF // the stream was cut short
	}
	if len(s.choices) == 1 && !s.choices[0].said && malformed(s.ends[0]) {
		return translate.Malformed("the model gave up: " + s.ends[0])
	}
	for i, c := range s.choices {
		q.Finish(c.index, finish(s.ends[i], c.calls), s.ends[i])
	}
	q.Usage(s.more)
	q.Usage(s.found.with(s.x, count(s.usage)))
	return io.EOF
}
