package translate

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"tallyroute/providers/chat"
	"tallyroute/providers/sse"
)

// Frames reads the JSON values of a streamed response in any framing: as events, as elements
// of one array, or one after the other.
type Frames struct {
	r    *bufio.Reader
	next func() ([]byte, error)
	name []byte // of the last event read

	unchecked bool
	whole     bool // the last read found a complete event, whatever its content
	ended     bool
}

// NewFrames returns Frames that read from r.
func NewFrames(r io.Reader) *Frames {
	f := &Frames{r: bufio.NewReader(r)}
	f.next = f.first
	return f
}

// Unchecked makes Next return events that are not JSON, for callers that check this themselves.
func (f *Frames) Unchecked() *Frames {
	f.unchecked = true
	return f
}

// NoJSON returns the error for an event that is not JSON.
func NoJSON() error { return fmt.Errorf("%w: an event is not JSON", chat.ErrMalformed) }

// Next returns the next value, which is valid until the next call. If it is not JSON, the
// error wraps chat.ErrMalformed; the event [DONE] ends the stream with io.EOF.
func (f *Frames) Next() ([]byte, error) {
	data, err := f.next()
	f.ended = err != nil && !f.whole
	return data, err
}

// Ended implements Ender.
func (f *Frames) Ended() bool { return f.ended }

// Name returns the name of the last value's event, or "" if there is none.
func (f *Frames) Name() string { return string(f.name) }

// first detects how the stream is framed and reads the first value.
func (f *Frames) first() ([]byte, error) {
	for {
		c, err := f.r.ReadByte()
		if err != nil {
			return nil, err
		}
		if c == ' ' || c == '\t' || c == '\r' || c == '\n' {
			continue
		}
		if err := f.r.UnreadByte(); err != nil {
			return nil, err
		}
		switch c {
		case '[':
			f.next = f.array()
		case '{':
			f.next = f.values()
		default:
			f.next = f.events()
		}
		return f.next()
	}
}

func (f *Frames) events() func() ([]byte, error) {
	events := sse.NewReader(f.r)
	return func() ([]byte, error) {
		ev, err := events.Next()
		if f.whole = err == nil; err != nil {
			return nil, err
		}
		f.name = ev.Name
		if string(ev.Data) == "[DONE]" {
			return nil, io.EOF
		}
		if !f.unchecked && !json.Valid(ev.Data) {
			return nil, NoJSON()
		}
		return ev.Data, nil
	}
}

// values returns a reader of JSON values that follow each other, such as one per line.
func (f *Frames) values() func() ([]byte, error) {
	b := &bounded{r: f.r}
	d := json.NewDecoder(b)
	return func() ([]byte, error) {
		b.n = 0
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, malformed(err)
		}
		return raw, nil
	}
}

// array returns a reader of the elements of one array.
func (f *Frames) array() func() ([]byte, error) {
	b := &bounded{r: f.r}
	d := json.NewDecoder(b)
	open := false
	return func() ([]byte, error) {
		b.n = 0
		if !open {
			if _, err := d.Token(); err != nil {
				return nil, malformed(err)
			}
			open = true
		}
		if !d.More() {
			if _, err := d.Token(); err != nil {
				return nil, cut(err)
			}
			return nil, io.EOF
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, cut(err)
		}
		return raw, nil
	}
}

// malformed wraps JSON errors in chat.ErrMalformed; network errors are returned unchanged.
func malformed(err error) error {
	if e := (*json.SyntaxError)(nil); errors.As(err, &e) {
		return fmt.Errorf("%w: %w", chat.ErrMalformed, err)
	}
	return err
}

// cut is like malformed, for places where the stream must not end.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return malformed(err)
}

// maxFrame is the limit of one value in bytes, the same as for the events of an event stream.
const maxFrame = sse.MaxEvent

// bounded fails when more than maxFrame bytes are read for one value.
type bounded struct {
	r io.Reader
	n int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.n > maxFrame {
		return 0, &sse.TooLargeError{What: "value", Limit: maxFrame}
	}
	n, err := b.r.Read(p)
	b.n += n
	return n, err
}
