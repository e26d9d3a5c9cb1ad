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
	"tallyroute/providers/jsonraw"
)

// trip is one call in progress.
type trip struct {
	c       *Client
	x       Exchange
	call    Call
	req     *http.Request
	ctx     context.Context // of the request; its cause says why the call was cut short
	cancel  context.CancelCauseFunc
	timer   *time.Timer // cancels the call when a deadline passes
	awaited string      // what had not arrived by then, for the error message

	trace   httptrace.ClientTrace
	written atomic.Bool // part of the request was, or may have been, sent
	again   int         // how often the transport has retried
	fresh   int         // how many new connections it has used
	began   time.Time   // when it began
	status  int         // of the response; 0 until its header has arrived
	size    int64       // bytes read of a response that could not be used
	told    *chat.Usage // reported by a response that could not be used
}

// Reasons for which we end a call ourselves.
var (
	errSilent = errors.New("providers: nothing came in time")
	errClosed = errors.New("providers: the answer was closed")
)

// errNotTaken stops retrying a request that a provider does not accept.
var errNotTaken = errors.New("providers: the provider takes up no request")

// Limits on retrying a request that was never accepted: another provider may have capacity.
// There may be many dead connections, so retries over those are allowed for a short time.
const (
	mostAgain  = 3
	againUntil = 500 * time.Millisecond
)

// begin builds and signs the request.
func (c *Client) begin(ctx context.Context, x Exchange, call Call) (*trip, error) {
	t := &trip{c: c, x: x, call: call}
	if err := checkCall(call); err != nil {
		return nil, unsendable(x, err)
	}
	t.ctx, t.cancel = context.WithCancelCause(ctx)
	// GetBody lets the transport resend the request over another connection if nothing of it
	// was sent, or if the provider has said that it ignored it. Go does not retry a POST for
	// any other reason.
	req, err := http.NewRequestWithContext(t.traced(), http.MethodPost, x.Target.BaseURL+call.Path, outgoing(call.Body))
	if err != nil {
		t.cancel(errClosed)
		return nil, unsendable(x, fmt.Errorf("providers: %w", err))
	}
	t.req, t.began, req.GetBody, req.ContentLength = req, time.Now(), t.rewind, int64(len(call.Body))
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

// traced returns the request's context, through which the transport reports what happens to
// the request. If a connection turns out to be dead before anything was sent over it, the
// transport asks for another one.
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

// rewind lets the body be read again. The transport asks for it only where the provider has
// certainly not processed the request: the connection was already dead, the stream was
// refused, or the connection was shut down and this stream came after the last one accepted.
func (t *trip) rewind() (io.ReadCloser, error) {
	t.written.Store(false)
	if t.again++; t.fresh >= mostAgain || t.again >= mostAgain && time.Since(t.began) > againUntil {
		return nil, errNotTaken
	}
	return io.NopCloser(outgoing(t.call.Body)), nil
}

// outgoing returns a reader for a request body. Large bodies are read in pieces.
func outgoing(body []byte) io.Reader {
	if len(body) < Heavy {
		return bytes.NewReader(body)
	}
	return &paced{from: bytes.NewReader(body)}
}

// paced reads at a pace that leaves time for others. Unlike a bytes.Reader, it is not written to
// a connection in a single call, during which the kernel would not run anything else.
type paced struct {
	from *bytes.Reader
	pace jsonraw.Pace
}

func (p *paced) Read(into []byte) (int, error) {
	n, err := p.from.Read(into)
	p.pace.Add(n)
	return n, err
}

// own returns our own headers.
func (t *trip) own() http.Header {
	if t.x.Request.Stream() {
		return t.c.streamed
	}
	return t.c.plain
}

// checkCall refuses what cannot be sent: a header made invalid by something in the request,
// and a path that would lead outside the base URL.
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

// checkPath refuses a path that a model's name would lead outside the base URL.
func checkPath(path string) error {
	plain, _, _ := strings.Cut(path, "?")
	read, err := url.PathUnescape(plain)
	if err != nil || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "# ") || strings.Contains(read, "\\") || !plainPath(read) {
		return fmt.Errorf("providers: %q is not a path below a base URL", path)
	}
	return nil
}

// send makes the request and waits for the response header. It uses the transport without an
// http.Client: redirects are not followed, and the client's other features are not needed.
func (t *trip) send() (*http.Response, error) {
	t.awaited = "the header"
	t.timer = time.AfterFunc(t.headerTimeout(), func() { t.cancel(errSilent) })
	resp, err := t.c.Beside(&t.x.Target).RoundTrip(t.req)
	t.timer.Stop()
	if err != nil {
		if strings.Contains(err.Error(), "http2: Transport received GOAWAY") { // after the last stream that was accepted
			t.written.Store(false)
		}
		return nil, t.network(fmt.Errorf("providers: %w", err))
	}
	t.status = resp.StatusCode
	return resp, nil
}

func (t *trip) headerTimeout() time.Duration {
	switch {
	case t.x.Target.HeaderTimeout > 0:
		return t.x.Target.HeaderTimeout
	case t.x.Request.Stream():
		return t.c.o.StreamTimeout
	}
	return t.c.o.HeaderTimeout
}

// firstTimeout returns the time-out for the first content of a stream. Anything that is not
// content, such as a comment, shows that the provider is alive and need only keep within the
// idle time-out.
func (t *trip) firstTimeout() time.Duration {
	if t.x.Target.FirstTimeout > 0 {
		return t.x.Target.FirstTimeout
	}
	return max(t.c.o.FirstTimeout, t.x.Target.IdleTimeout)
}

// body is a response body with a time-out for each read.
type body struct {
	rc    io.ReadCloser
	timer *time.Timer
	idle  time.Duration
	until time.Time // if set, when reading must end
	waits func()    // if set, called before each wait
	room  Room      // the request's share of memory; nil means unlimited
	full  error     // why there was no room
	err   error     // why the network failed; nil at a clean end
	ended bool      // nothing is left to read, or nothing can be read
	soon  bool      // the response is complete; what follows it is read only for drainTime
}

func (t *trip) body(resp *http.Response) *body {
	t.awaited = "the next byte"
	idle := t.x.Target.IdleTimeout
	if idle == 0 {
		idle = t.c.o.IdleTimeout
	}
	return &body{rc: resp.Body, timer: t.timer, idle: idle, room: t.x.Room}
}

// Read reads with the time-out. Time during which nobody is reading does not count.
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

// Close closes the body, and with it the connection unless the body was read to its end.
func (b *body) Close() error { return b.rc.Close() }

// How much of an unneeded response is read, and for how long, so that the connection can be
// reused.
const (
	drainBytes = 64 << 10
	drainTime  = 50 * time.Millisecond
)

// drain reads the rest of the body within these limits and closes it.
func (b *body) drain() {
	if !b.ended {
		b.endSoon()
		_, _ = io.CopyN(io.Discard, b, drainBytes)
	}
	_ = b.Close()
}

func (b *body) endSoon() {
	if !b.soon {
		b.soon, b.idle, b.until = true, drainTime, time.Now().Add(drainTime)
	}
}

// EndSoon tells the body of a stream that the end defined by its format has been reached. What
// follows is only awaited for as long as is useful to reuse the connection. It has no effect on
// readers that are not the body of a response.
func EndSoon(c io.Closer) {
	if b, ok := c.(*body); ok {
		b.endSoon()
	}
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

// modest is the size in bytes that any response may have without asking for room.
const modest = 64 << 10

// readAll reads up to limit bytes, or whatever there is before an error. The length in the
// header is taken as a hint, not as a promise.
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

// larger returns text with twice its capacity, within limit.
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

// copied asks for the room that the decoded form of an n-byte response needs.
func (b *body) copied(n int) error {
	if n <= modest {
		return nil
	}
	return b.Grow(int64(n))
}

func encoded(resp *http.Response) bool {
	e := resp.Header.Get("Content-Encoding")
	return e != "" && !strings.EqualFold(e, "identity")
}

func mediaType(resp *http.Response) string {
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(kind))
}
