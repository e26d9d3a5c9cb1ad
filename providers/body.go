package providers

import (
	"io"
	"net/http"
	"time"
)

// body is an answer's body in which no byte may be too long in coming.
type body struct {
	rc    io.ReadCloser
	timer *time.Timer
	idle  time.Duration
	until time.Time // where set, when reading must be over
	waits func()    // where set, called before each wait
	room  Room      // what the request may hold in memory; nil is as much as it likes
	full  error     // why there was no room
	err   error     // why the network failed; nil for a clean end
	ended bool      // all of it was read, or none can be
}

func (t *trip) body(resp *http.Response) *body {
	t.awaited = "the next byte"
	idle := t.x.Target.IdleTimeout
	if idle == 0 {
		idle = t.c.o.IdleTimeout
	}
	return &body{rc: resp.Body, timer: t.timer, idle: idle, room: t.x.Room}
}

// Read waits as long as it may. The time in which nobody reads does not count.
func (b *body) Read(p []byte) (int, error) {
	if b.waits != nil {
		b.waits()
	}
	wait := b.idle
	if !b.until.IsZero() {
		wait = min(wait, time.Until(b.until))
	}
	b.timer.Reset(wait)
	n, err := b.rc.Read(p)
	b.timer.Stop()
	if err != nil {
		b.ended = true
		if err != io.EOF {
			b.err = err
		}
	}
	return n, err
}

// Close ends the connection unless all of the body was read.
func (b *body) Close() error { return b.rc.Close() }

// How much of an answer that nobody needs is read, and for how long, so that the
// connection can be used again.
const (
	drainBytes = 64 << 10
	drainTime  = 50 * time.Millisecond
)

// drain reads on for a moment.
func (b *body) drain() {
	if !b.ended {
		b.idle, b.until = drainTime, time.Now().Add(drainTime)
		_, _ = io.CopyN(io.Discard, b, drainBytes)
	}
	_ = b.Close()
}

// Grow implements sse.Room.
func (b *body) Grow(n int64) error {
	if b.room == nil {
		return nil
	}
	err := b.room.Grow(n)
	if err != nil {
		b.full = err
	}
	return err
}

// modest is what any answer may have without asking for room.
const modest = 64 << 10

// readAll reads up to limit bytes, or as many as there are before an error. What the
// header says of the length is taken for a hint, not for a promise.
func (b *body) readAll(length, limit int64) ([]byte, error) {
	if length < 0 {
		length = 4 << 10
	}
	text := make([]byte, 0, min(length+1, modest))
	for {
		n, err := b.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		switch {
		case int64(len(text)) > limit:
			return text, errTooLarge
		case err == io.EOF: //nolint:errorlint // readers return it bare
			return text, b.copied(len(text))
		case err != nil:
			return text, err
		case len(text) == cap(text):
			if text, err = b.larger(text, limit); err != nil {
				return text, err
			}
		}
	}
}

// larger is text with room for as much again.
func (b *body) larger(text []byte, limit int64) ([]byte, error) {
	size := min(2*int64(cap(text)), limit+1)
	if size > modest {
		if err := b.Grow(size); err != nil {
			return text, err
		}
	}
	next := append(make([]byte, 0, size), text...)
	if b.room != nil && cap(text) > modest {
		b.room.Shrink(int64(cap(text)))
	}
	return next, nil
}

// copied asks for the room of what is made of an answer of n bytes.
func (b *body) copied(n int) error {
	if n <= modest {
		return nil
	}
	return b.Grow(int64(n))
}
