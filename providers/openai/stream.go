package openai

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/sse"
)

// Stream reads a streamed response.
func (completions) Stream(x providers.Exchange, body io.ReadCloser) chat.Stream {
	n := choices(x)
	return &stream{events: sse.NewReader(body), body: body, open: n, single: n == 1, normaliser: normaliser{x: x, stream: true}}
}

// choices returns the number of choices that the provider was asked for.
func choices(x providers.Exchange) int64 {
	if !x.Target.Sends("n") {
		return 1
	}
	n := x.Request.N()
	if most, err := strconv.ParseInt(x.Target.Quirks.Bounds["n"].Max, 10, 64); err == nil {
		n = min(n, most)
	}
	return n
}

// stream ends properly with [DONE], or without it once every choice has a finish reason.
// After [DONE], or after the usage that follows the last finish reason, the rest of the body is
// read only briefly, in case it reports a larger usage.
type stream struct {
	events   *sse.Reader
	body     io.Closer
	open     int64    // choices without a finish reason
	finished []string // indexes of the finished choices, if there are several
	usage    bool     // the chunk that contains only usage has arrived
	said     bool     // there was something that counts
	single   bool     // one choice was requested
	closed   bool     // [DONE] has arrived
	end      error

	ahead      []byte // what arrived before the response had an id
	normaliser normaliser
	told       chat.Told
}

var _ chat.Stream = (*stream)(nil)

// Next returns the next chunk.
func (s *stream) Next() (chat.Chunk, error) {
	for s.end == nil {
		next := s.next
		if s.usage && s.open <= 0 || s.closed {
			next = s.behind
		}
		c, err := next()
		if err == nil && c.Data == nil {
			continue
		}
		if s.end = err; err == nil {
			s.told.Note(&c)
			return c, nil
		}
	}
	return chat.Chunk{}, s.end
}

// Told returns the usage reported so far.
func (s *stream) Told() chat.Told { return s.told }

// behind returns usage that follows the end of the stream, if it exceeds what was reported
// before.
func (s *stream) behind() (chat.Chunk, error) {
	providers.EndSoon(s.body)
	for {
		ev, err := s.events.Next()
		if err != nil {
			return chat.Chunk{}, io.EOF
		}
		data := oneLine(bytes.TrimSpace(ev.Data))
		if c, err := chat.ParseChunk(data); err == nil && c.UsageOnly && c.Usage.Exceeds(s.told.Usage) {
			c.Data, c.Odd = s.normaliser.answer(data, c.Usage), false
			return c, nil
		}
	}
}

// next reads one event. The caller skips a chunk without data.
func (s *stream) next() (chat.Chunk, error) {
	ev, err := s.events.Next()
	switch {
	case errors.Is(err, io.EOF) && s.open > 0:
		return chat.Chunk{}, io.ErrUnexpectedEOF
	case err != nil:
		return chat.Chunk{}, err
	case string(ev.Name) == "error":
		s.hear(ev.Data)
		e, _ := chat.ParseError(ev.Data)
		return chat.Chunk{}, inBody(e)
	}
	data := oneLine(bytes.TrimSpace(ev.Data))
	if string(data) == "[DONE]" {
		return s.done()
	}
	if len(data) == 0 || foreign(ev.Name, data) {
		return chat.Chunk{}, nil
	}
	c, err := chat.ParseChunk(data)
	if err == nil && c.Finish != "" && c.Usage == nil {
		c, err = chat.ParseChunk(data, "x_groq", "usage") // where Groq puts usage unless asked for it
		c.Odd = c.Odd || c.Usage != nil
	}
	if err != nil {
		s.hear(data)
		return chat.Chunk{}, fault(err)
	}
	if failed(c.Finish) || c.Finish != "" && !s.said && !c.Content && failed(nativeFinish(data)) {
		s.hear(data)
		return chat.Chunk{}, inBody(choiceError(data))
	}
	if s.normaliser.head == nil && len(c.ID) <= len(`""`) && !c.Content && c.Finish == "" && c.Usage == nil {
		s.ahead = bytes.Clone(data)
		return chat.Chunk{}, nil
	}
	data, c.Odd = s.merged(data), c.Odd || s.ahead != nil
	s.watch(c)
	s.said = s.said || c.Content
	if !s.inOrder(c) {
		c.Data = s.normaliser.answer(data, c.Usage)
	}
	if c.Odd = false; c.Finish != "" {
		c.Finish = finishReason(c.Finish)
	}
	return c, nil
}

// hear notes the usage that a failure reports.
func (s *stream) hear(data []byte) {
	if u := chat.UsageOf(data); u != nil {
		s.told.Mark()
		s.told = s.told.With(u)
	}
}

// inOrder reports whether a chunk can be passed on unchanged: it conforms to the format and
// is consistent with the chunks before it.
func (s *stream) inOrder(c chat.Chunk) bool {
	switch m := &s.normaliser; {
	case c.Odd || !s.single:
		return false
	case m.head == nil:
		return c.Role && c.Finish == "" && m.begin(c)
	case string(c.ID.Bytes()) != m.id:
		return false
	case c.Finish != "":
		return m.ends(c.Finish)
	}
	return s.open > 0 || c.UsageOnly
}

// merged returns the first chunk that has the response's id, together with what was sent
// before it: Azure starts with its filter's results for the prompt.
func (s *stream) merged(data []byte) []byte {
	if s.ahead == nil || s.normaliser.head != nil {
		return data
	}
	var more []jsonraw.Member
	for name, value := range jsonraw.Each(s.ahead) {
		if jsonraw.Lookup(data, string(name)) == nil && string(name) != "choices" {
			more = append(more, jsonraw.Member{Name: string(name), Value: value})
		}
	}
	return jsonraw.Edit(data, more)
}

// done handles the end that the stream itself announces. If finish reasons are missing, it
// first supplies them.
func (s *stream) done() (chat.Chunk, error) {
	var data []byte
	if s.said {
		data = s.normaliser.ending()
	}
	s.closed = true
	if data == nil {
		return chat.Chunk{}, nil
	}
	s.open = 0
	c, err := chat.ParseChunk(data)
	if err != nil {
		return chat.Chunk{}, fault(err)
	}
	return c, nil
}

// oneLine joins the lines of JSON, which can only break between its tokens.
func oneLine(data []byte) []byte {
	if bytes.IndexByte(data, '\n') < 0 {
		return data
	}
	return bytes.ReplaceAll(data, []byte("\n"), []byte(" "))
}

// foreign reports whether an event is one that the format does not have, such as a ping.
func foreign(name, data []byte) bool {
	if len(name) == 0 || string(name) == "message" {
		return false
	}
	for member := range jsonraw.Each(data) {
		switch string(member) {
		case "choices", "usage", "error":
			return false
		}
	}
	return true
}

// watch records which choices are finished.
func (s *stream) watch(c chat.Chunk) {
	s.usage = s.usage || c.UsageOnly
	if c.Finish == "" {
		return
	}
	if s.open == 1 && s.finished == nil {
		s.open = 0
		return
	}
	for choice := range jsonraw.Elements(jsonraw.Lookup(c.Data, "choices")) {
		index := string(jsonraw.Lookup(choice, "index"))
		if jsonraw.Text(jsonraw.Lookup(choice, "finish_reason")) != "" && !slices.Contains(s.finished, index) {
			s.finished = append(s.finished, index)
			s.open--
		}
	}
}

// Close closes the body.
func (s *stream) Close() error { return s.body.Close() }
