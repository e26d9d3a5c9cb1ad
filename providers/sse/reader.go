package sse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Limits on what a Reader accepts, in bytes.
const (
	MaxEvent = 32 << 20 // all data lines of one event: as much as a complete response may have
	MaxLine  = MaxEvent
)

const (
	firstBuffer = 4 << 10
	// window limits how far the search for a line feed looks past a carriage return that ends
	// the line earlier.
	window = 512
	// idle is how many consecutive reads may return nothing.
	idle = 100
)

// Event is one event. Its bytes are valid until the next call of Next.
type Event struct {
	Name []byte // "event", nil if not given
	Data []byte // the "data" lines, joined by line feeds
	ID   []byte // "id" of this event only, nil if not given
}

// TooLargeError is the error for a line or an event over the limits. The stream cannot be
// read any further.
type TooLargeError struct {
	What  string // "line" or "event"
	Limit int    // in bytes
}

// Error names the limit.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("sse: %s is larger than %d bytes", e.What, e.Limit)
}

// Reader reads events. It holds at most one line and one event in memory.
type Reader struct {
	r     io.Reader
	buf   []byte
	pos   int // buf[pos:end] has been read but not yet used
	seen  int // buf[pos:seen] contains no line ending
	end   int
	err   error // from r, or a limit; what was read before it still counts
	begun bool  // the byte order mark, if any, has been passed
	cr    bool  // the last line ended with CR: an LF that follows belongs to it

	data, name, id []byte
	hasData        bool
}

// NewReader returns a Reader of events from r.
func NewReader(r io.Reader) *Reader { return &Reader{r: r, buf: make([]byte, firstBuffer)} }

// Next returns the next event that has data. The error is io.EOF at a clean end, a
// *TooLargeError over the limits, and otherwise the error of the underlying reader, in which
// case an incomplete event is dropped. At a clean end, an event that lacks only its blank
// line is delivered first, because many providers leave that out.
func (r *Reader) Next() (Event, error) {
	r.data, r.name, r.id, r.hasData = r.data[:0], r.name[:0], r.id[:0], false
	for {
		line, err := r.line()
		if errors.Is(err, io.EOF) && r.hasData {
			return r.event(), nil
		}
		if err != nil {
			return Event{}, err
		}
		if len(line) > 0 {
			r.field(line)
			continue
		}
		if r.hasData {
			return r.event(), nil
		}
		r.name, r.id = r.name[:0], r.id[:0]
	}
}

func (r *Reader) event() Event { return Event{Name: some(r.name), Data: r.data, ID: some(r.id)} }

func some(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// field processes a line that is not blank. Comments, retry and unknown fields are ignored.
func (r *Reader) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "data":
		if r.hasData {
			r.data = append(r.data, '\n')
		}
		if len(r.data) >= usual {
			if err := r.ask(len(value)); err != nil {
				r.err = err
				return
			}
		}
		r.data, r.hasData = append(r.data, value...), true
		if len(r.data) > MaxEvent {
			r.fail("event", MaxEvent)
		}
	case "event":
		r.name = append(r.name[:0], value...)
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			r.id = append(r.id[:0], value...)
		}
	}
}

// line returns the next line without its line ending. A last line without one counts if the
// stream ended cleanly.
func (r *Reader) line() ([]byte, error) {
	for r.err == nil || r.pos < r.end {
		if r.cr && r.pos < r.end {
			if r.cr = false; r.buf[r.pos] == '\n' {
				r.pos++
				r.seen = r.pos
			}
		}
		end := r.seen + lineEnd(r.buf[r.seen:r.end])
		switch {
		case end-r.pos > MaxLine:
			r.fail("line", MaxLine)
		case end < r.end:
			r.cr = r.buf[end] == '\r'
			return r.take(end, end+1), nil
		case r.err == nil:
			r.seen = end
			r.fill()
		case errors.Is(r.err, io.EOF) && r.pos < r.end:
			return r.take(end, end), nil
		default:
			r.pos = r.end // a truncated line
		}
	}
	return nil, r.err
}

// take returns the line up to end; the next one starts at next.
func (r *Reader) take(end, next int) []byte {
	line := r.buf[r.pos:end]
	r.pos, r.seen = next, next
	if !r.begun {
		r.begun = true
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	}
	return line
}

// fill reads more data after what is not used yet.
func (r *Reader) fill() {
	copy(r.buf, r.buf[r.pos:r.end])
	r.seen, r.end, r.pos = r.seen-r.pos, r.end-r.pos, 0
	if r.end == len(r.buf) {
		more := min(r.end, MaxLine+firstBuffer-r.end)
		if r.end >= usual {
			if r.err = r.ask(more); r.err != nil {
				r.pos, r.seen, r.end = 0, 0, 0 // a truncated line
				return
			}
		}
		r.buf = append(r.buf, make([]byte, more)...)
	}
	for range idle {
		var n int
		n, r.err = r.r.Read(r.buf[r.end:])
		r.end += n
		if n > 0 || r.err != nil {
			return
		}
	}
	r.err = io.ErrNoProgress
}

// Room is implemented by readers that are asked before a Reader buffers more than usual.
type Room interface{ Grow(n int64) error }

// usual is the number of bytes that any Reader may buffer.
const usual = 64 << 10

// ask asks for n more bytes.
func (r *Reader) ask(n int) error {
	if room, ok := r.r.(Room); ok {
		return room.Grow(int64(n))
	}
	return nil
}

// fail ends the stream permanently.
func (r *Reader) fail(what string, limit int) {
	r.err = &TooLargeError{what, limit}
	r.pos, r.seen, r.end, r.hasData = 0, 0, 0, false
}

// lineEnd returns the position of the first CR or LF, or len(b) if there is none.
func lineEnd(b []byte) int {
	for start := 0; start < len(b); start += window {
		w := b[start:min(start+window, len(b))]
		lf := bytes.IndexByte(w, '\n')
		if lf >= 0 {
			w = w[:lf]
		}
		if cr := bytes.IndexByte(w, '\r'); cr >= 0 {
			return start + cr
		}
		if lf >= 0 {
			return start + lf
		}
	}
	return len(b)
}
