package providers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"tallyroute/providers/chat"
)

// trip is one call under way.
type trip struct {
	c       *Client
	x       Exchange
	call    Call
	req     *http.Request
	ctx     context.Context // of the request; its cause says why it was cut short
	cancel  context.CancelCauseFunc
	timer   *time.Timer // cancels when nothing came in time
	awaited string      // for the message: what did not come

	trace   httptrace.ClientTrace
	written atomic.Bool // part of the request was, or may have been, written
	again   int         // how often the transport began once more
	fresh   int         // how many connections it opened for that
	began   time.Time   // when it began
	status  int         // of the answer; 0 until its header is there
	size    int64       // of the answer, as far as it was read and could not be used
	told    *chat.Usage // by an answer that could not be used
}

// Why we end a call ourselves.
var (
	errSilent = errors.New("providers: nothing came in time")
	errClosed = errors.New("providers: the answer was closed")
)

// errNotTaken ends the repetition of a request that a provider does not take up.
var errNotTaken = errors.New("providers: the provider takes up no request")

// How often, and for how long, a request is repeated of which nothing was taken up. Other
// providers may have room. Of connections that were dead before there may be many.
const (
	mostAgain  = 3
	againUntil = 500 * time.Millisecond
)

// begin writes and signs the request.
func (c *Client) begin(ctx context.Context, x Exchange, call Call) (*trip, error) {
	t := &trip{c: c, x: x, call: call}
	if err := checkCall(call); err != nil {
		return nil, unsendable(x, err)
	}
	t.ctx, t.cancel = context.WithCancelCause(ctx)
	// The body can be read again, so that a request of which nothing was sent, or
	// of which the provider has said that it ignored it, can go over another
	// connection. Go does not repeat a POST for any other reason.
	req, err := http.NewRequestWithContext(t.traced(), http.MethodPost, x.Target.BaseURL+call.Path, bytes.NewReader(call.Body))
	if err != nil {
		t.cancel(errClosed)
		return nil, unsendable(x, fmt.Errorf("providers: %w", err))
	}
	t.req, t.began, req.GetBody = req, time.Now(), t.rewind
	for _, h := range []http.Header{t.own(), x.Target.Header, call.Header} {
		for name, values := range h {
			req.Header[name] = values
		}
	}
	if x.Target.Auth != nil {
		if err := x.Target.Auth.Sign(t.ctx, req); err != nil {
			e := (*Error)(nil)
			if !errors.As(err, &e) {
				e = &Error{Kind: KindCredential, Err: err}
			}
			return nil, t.abort(e)
		}
	}
	c.known.learn(t)
	return t, nil
}

// traced is the context of the request, from which the transport tells us what
// has become of it. Where a connection turns out to be dead before anything went
// over it, another one is asked for.
func (t *trip) traced() context.Context {
	t.trace.GetConn = func(string) { t.written.Store(false) }
	t.trace.GotConn = func(c httptrace.GotConnInfo) {
		if !c.Reused {
			t.fresh++
		}
	}
	t.trace.WroteHeaders = func() { t.written.Store(true) }
	return httptrace.WithClientTrace(t.ctx, &t.trace)
}

// rewind has the body read again. The transport asks for it only where the provider is
// sure not to have taken the request up: the connection was dead before, or the stream
// was refused, or came after the last one before the end of its connection.
func (t *trip) rewind() (io.ReadCloser, error) {
	t.written.Store(false)
	if t.again++; t.fresh >= mostAgain || t.again >= mostAgain && time.Since(t.began) > againUntil {
		return nil, errNotTaken
	}
	return io.NopCloser(bytes.NewReader(t.call.Body)), nil
}

// own are the headers that are ours.
func (t *trip) own() http.Header {
	if t.x.Request.Stream() {
		return t.c.streamed
	}
	return t.c.plain
}

// checkCall refuses what cannot be sent: a header that is none, because of what the
// request has in it, and a path that would lead elsewhere than below the base URL.
func checkCall(c Call) error {
	for name, values := range c.Header {
		for _, v := range values {
			if strings.ContainsFunc(v, unicode.IsControl) {
				return fmt.Errorf("providers: the value of %s cannot be a header", name)
			}
		}
	}
	return checkPath(c.Path)
}

// checkPath refuses a path that would lead elsewhere, because of a model's name in it.
func checkPath(path string) error {
	plain, _, _ := strings.Cut(path, "?")
	read, err := url.PathUnescape(plain)
	if err != nil || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "# ") || strings.Contains(read, "\\") || !plainPath(read) {
		return fmt.Errorf("providers: %q is not a path below a base URL", path)
	}
	return nil
}

// send makes the request and waits for the header of its answer. The transport
// is used without a http.Client: nothing follows redirects, and nothing is
// gained from the rest of it.
func (t *trip) send() (*http.Response, error) {
	t.awaited = "the header"
	t.timer = time.AfterFunc(t.headerTimeout(), func() { t.cancel(errSilent) })
	resp, err := t.transport().RoundTrip(t.req)
	t.timer.Stop()
	if err != nil {
		if strings.Contains(err.Error(), "http2: Transport received GOAWAY") { // of a last stream before this one
			t.written.Store(false)
		}
		return nil, t.network(fmt.Errorf("providers: %w", err))
	}
	t.status = resp.StatusCode
	return resp, nil
}

func (t *trip) transport() http.RoundTripper { return t.c.Beside(&t.x.Target) }

func (t *trip) headerTimeout() time.Duration {
	switch {
	case t.x.Target.HeaderTimeout > 0:
		return t.x.Target.HeaderTimeout
	case t.x.Request.Stream():
		return t.c.o.StreamTimeout
	}
	return t.c.o.HeaderTimeout
}

// firstTimeout is until the first content of a stream. What is not content, such as a
// comment, shows that the provider lives: it need only come within the idle time-out.
func (t *trip) firstTimeout() time.Duration {
	if t.x.Target.FirstTimeout > 0 {
		return t.x.Target.FirstTimeout
	}
	return max(t.c.o.FirstTimeout, t.x.Target.IdleTimeout)
}

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
