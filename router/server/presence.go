package server

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"tallyroute/providers/sse"
	"tallyroute/router"
)

// A client may close its side of a connection once it has sent its request, and still read the
// answer. What it sends does not show whether it has done that or has gone: both look like the
// end of input. Only a write shows it, since the system of a client that has gone replies that
// nobody is there. So we write something: before an answer begins, its very first bytes, one at
// a time, which are the same for every answer; once a stream has begun, a comment.

// lead is the beginning of every answer.
const lead = "HTTP/1."

// The delays between the bytes written to see whether a client is there.
const (
	firstProbe = 5 * time.Millisecond
	slowerBy   = 4
	lastProbe  = 5 * time.Second
)

// Listener accepts connections that can detect whether their client is still there.
func Listener(l net.Listener) net.Listener { return listener{l} }

type listener struct{ net.Listener }

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok && err == nil {
		return &conn{TCPConn: tcp}, nil
	}
	return c, err
}

// conn is a connection on which the beginning of an answer may be written ahead.
type conn struct {
	*net.TCPConn

	mu    sync.Mutex
	begun bool // the current answer
	ahead int  // bytes of lead already written
}

// Write omits what was written ahead.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	ahead := min(c.ahead, len(p))
	c.begun, c.ahead = true, 0
	c.mu.Unlock()
	n, err := c.TCPConn.Write(p[ahead:])
	return n + ahead, err
}

// ReadFrom keeps a copy from bypassing Write.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}

// next is called before each answer.
func (c *conn) next() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun, c.ahead = false, 0
}

// probe writes one more byte ahead; it returns false if that is not possible.
func (c *conn) probe() (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begun || c.ahead == len(lead) {
		return false, nil
	}
	_, err := c.TCPConn.Write([]byte{lead[c.ahead]})
	c.ahead++
	return true, err
}

// connKey is the context key of a request's connection.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	if c, ok := c.(*conn); ok {
		return context.WithValue(ctx, connKey{}, c)
	}
	return ctx
}

// present makes x.ctx a context that ends when the client has gone. The request's own context
// ends as soon as the client stops sending.
func (x *exchange) present() {
	request := x.C.Request.Context()
	x.ctx, x.leave = request, func(error) {}
	c, ok := request.Value(connKey{}).(*conn)
	if !ok {
		return
	}
	c.next()
	ctx, leave := context.WithCancelCause(context.WithoutCancel(request))
	x.ctx, x.leave = ctx, leave
	x.unwatch = context.AfterFunc(request, func() {
		if stopping(request) {
			leave(router.ErrStopping)
			return
		}
		x.watch(c)
	})
}

// stopping reports whether we ended ctx ourselves.
func stopping(ctx context.Context) bool { return errors.Is(context.Cause(ctx), router.ErrStopping) }

// watch returns when the client has gone or the answer is over.
func (x *exchange) watch(c *conn) {
	for pause := firstProbe; ; pause = min(slowerBy*pause, lastProbe) {
		wrote, err := c.probe()
		if !wrote {
			err = x.ping()
		}
		if err != nil {
			x.leave(err)
			return
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-x.ctx.Done():
			t.Stop()
			return
		}
	}
}

// ping writes a comment to a stream that has begun.
func (x *exchange) ping() error {
	s := &x.silence
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || !x.streaming || s.lost != nil {
		return s.lost
	}
	x.say()
	return s.lost
}

// unattended stops watching the client.
func (x *exchange) unattended() {
	if x.unwatch != nil {
		x.unwatch()
	}
	x.leave(nil)
}

// keepAlive is the comment that shows that a stream is still being worked on.
const keepAlive = "keepalive"

// silenceRepeat is the maximum time between two comments.
const silenceRepeat = 10 * time.Second

// silence keeps a stream alive while there is nothing to pass on: after a while the header goes
// out, with a comment, followed by further comments, so that no proxy takes the connection for
// a dead one. The comments are written alongside the goroutine that answers, so everything
// written to a stream is written under mu.
type silence struct {
	mu    sync.Mutex
	timer *time.Timer // nil if no stream is pending
	wrote time.Time   // when something was last flushed
	after time.Duration

	described bool  // the header says who answers
	early     bool  // the header went out before that was known
	over      bool  // nothing more may be written
	lost      error // why a comment could not be written
}

// waiting starts to watch the silence of a stream that a provider is asked for.
func (x *exchange) waiting() {
	s := &x.silence
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrote, s.after = time.Now(), x.patience
	s.timer = time.AfterFunc(s.after, x.comment)
}

// comment writes that the stream is being worked on, if nothing has been written for long
// enough.
func (x *exchange) comment() {
	s := &x.silence
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.lost != nil {
		return
	}
	if quiet := time.Since(s.wrote); quiet < s.after {
		s.timer.Reset(s.after - quiet)
		return
	}
	if !x.streaming {
		if !s.described {
			s.early = true
		}
		x.open()
	}
	if x.say(); s.lost != nil {
		x.leave(s.lost)
		return
	}
	s.after = min(s.after, silenceRepeat)
	s.timer.Reset(s.after)
}

// say writes a comment. The lock is held.
func (x *exchange) say() {
	s := &x.silence
	x.Deadline()
	if s.lost = x.events.Comment(keepAlive); s.lost == nil {
		s.lost = x.RC.Flush()
	}
	x.unsent = false
	s.wrote = time.Now()
}

// open begins the event stream. The lock of its silence is held.
func (x *exchange) open() {
	x.Head.Set("Content-Type", "text/event-stream; charset=utf-8")
	x.Head.Set("X-Accel-Buffering", "no") // nginx would otherwise buffer events
	x.streaming, x.events = true, sse.NewWriter(x.C.Writer)
}

// answered writes the header of a stream, unless it has already gone out.
func (x *exchange) answered(a *router.Answer) {
	s := &x.silence
	s.mu.Lock()
	defer s.mu.Unlock()
	if !x.streaming {
		x.describe(a)
		s.described = true
	}
}

// hush ends the comments. From then on only the caller writes.
func (x *exchange) hush() {
	s := &x.silence
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

// served is what the header of a stream normally says: the last chunk carries it if the header
// went out too early.
type served struct {
	Provider       string  `json:"provider"`
	Model          string  `json:"model"`
	RequestedModel string  `json:"requested_model"`
	Attempts       int     `json:"attempts"`
	RouteReason    string  `json:"route_reason"`
	CostUSD        *string `json:"cost_usd"` // null: unpriced
	CostStatus     string  `json:"cost_status"`
}

func servedBy(a *router.Answer) served {
	way := a.Route
	s := served{
		Provider: way.Target.Provider, Model: way.Target.Model, RequestedModel: way.Requested,
		Attempts: len(way.Attempts), RouteReason: string(way.Reason),
	}
	s.CostStatus, s.CostUSD = costOf(a.Outcome())
	return s
}
