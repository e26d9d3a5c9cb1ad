package sse

import (
	"fmt"
	"io"
)

// Limits of what a Reader accepts.
const (
	MaxLine  = 1 << 20
	MaxEvent = 4 << 20
)

// Event is one event. Its bytes are valid until the next call of Next.
type Event struct {
	Name []byte // "event", nil where the stream does not say
	Data []byte // the "data" lines, joined by line feeds
	ID   []byte // "id" of this event, nil where it has none
}

// TooLargeError is a line or an event beyond the limits. The stream cannot be
// read any further.
type TooLargeError struct {
	What  string // "line" or "event"
	Limit int    // in bytes
}

// Error names the limit.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("sse: %s is larger than %d bytes", e.What, e.Limit)
}

// Reader reads events.
type Reader struct {
	r io.Reader
}

// NewReader reads events from r.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Next is the next event that has data. It is io.EOF at a clean end, a
// *TooLargeError beyond the limits, and otherwise the error of the reader below,
// which drops an event that was under way. At a clean end an event that lacks
// only its blank line is delivered first, because many providers leave it out.
func (r *Reader) Next() (Event, error) { return Event{}, io.EOF }
