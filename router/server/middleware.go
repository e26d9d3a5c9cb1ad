package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/providers/sse"
	"tallyroute/router/limit"
)

// exchange is one request that is being answered.
type exchange struct {
	*server
	c     *gin.Context
	ctx   context.Context // ends when the client has gone
	leave func(error)     // ends ctx
	rc    *http.ResponseController
	id    string // "req_" and a ULID: ours, never the client's
	head  fields
	start time.Time
	room  *limit.Share // what the request holds in memory
	// keyEnd is how messages name the key that was sent: " (…x7qd)".
	keyEnd string

	// For the log.
	key     billing.KeyID // once it is known
	refused string        // the code of the error that was answered
	err     error

	unwatch   func() bool // nil where ctx is the request's
	silence   silence
	recorded  *recording // of a stream that is kept; else nil
	streaming bool       // an event stream has begun
	events    *sse.Writer
	batched   bool // events are flushed when the next one is waited for
	unsent    bool // there are events that were not flushed
	cut       bool // the connection must not look as if the answer were whole
}

// serve is what every route has in common: a request id, limits on the header,
// recovery, and one line in the log.
func (s *server) serve(h func(*exchange)) gin.HandlerFunc {
	return func(c *gin.Context) {
		x := s.begin(c)
		defer x.end()
		if err := x.admit(); err != nil {
			x.fail(err)
			return
		}
		h(x)
	}
}

func (s *server) begin(c *gin.Context) *exchange {
	now := s.Clock()
	x := &exchange{
		server: s, c: c, rc: http.NewResponseController(raw(c.Writer)), start: now, room: s.Bytes.Open(),
		id: "req_" + ulid.MustNew(ulid.Timestamp(now), rand.Reader).String(),
	}
	x.present()
	x.head = newFields(c.Writer.Header())
	x.head.set("X-Request-Id", x.id)
	x.head.set("X-Content-Type-Options", "nosniff")
	x.head.set("Cache-Control", "no-store")
	if s.stopping.Load() {
		x.head.set("Connection", "close")
	}
	return x
}

// fields are the header of an answer. All values lie in one piece of memory, and
// names have to be spelled as net/http keeps them.
type fields struct {
	header http.Header
	values []string
}

// usualFields is a few more than an answer has.
const usualFields = 24

func newFields(h http.Header) fields { return fields{h, make([]string, 0, usualFields)} }

func (f *fields) set(name, value string) {
	f.values = append(f.values, value)
	last := len(f.values)
	f.header[name] = f.values[last-1 : last : last]
}

// raw is the writer below gin's, which swallows the errors of a flush.
func raw(w http.ResponseWriter) http.ResponseWriter {
	if u, ok := w.(interface{ Unwrap() http.ResponseWriter }); ok {
		return u.Unwrap()
	}
	return w
}

// admit judges the head of a request, before anything of its body is read.
func (x *exchange) admit() error {
	r := x.c.Request
	if slices.Contains(r.TransferEncoding, "chunked") {
		// Where the body ends is then a matter of opinion. Whoever disagrees
		// with us must not get a second request in behind it.
		x.c.Header("Connection", "close")
	}
	if r.ContentLength != 0 {
		_ = x.rc.SetReadDeadline(time.Now().Add(x.Limits.ReadBody))
	}
	if r.URL.Host != "" { // an absolute URI: we are no proxy
		return errNoRoute
	}
	fields := 0
	for _, values := range r.Header {
		fields += len(values)
	}
	if fields > x.Limits.Fields {
		return &fieldsError{fields, x.Limits.Fields}
	}
	return nil
}

// end is deferred: it answers for a panic, and writes the log.
func (x *exchange) end() {
	x.hush()
	defer x.room.Close()
	if v := recover(); v != nil {
		x.panicked(v)
	}
	status := x.c.Writer.Status()
	if x.refused == codeClientGone {
		status = statusClientGone
	}
	took := x.Clock().Sub(x.start)
	x.log(status, took)
	x.Observe(method(x.c.Request.Method), x.route(), status, took)
	x.unattended()
	if x.cut {
		panic(http.ErrAbortHandler) // closes the connection without ending the answer
	}
}

// panicked answers with an error that tells nothing. What was panicked with may
// hold a client's text, so only faults of the runtime are logged in words.
func (x *exchange) panicked(v any) {
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		x.cut = true
		return
	}
	what := fmt.Sprintf("%T", v)
	if err, ok := v.(runtime.Error); ok {
		what = err.Error()
	}
	x.fail(fmt.Errorf("server: panic: %s", what))
	x.Log.Error("panic", zap.String("request_id", x.id), zap.String("what", what), zap.StackSkip("stack", 3))
}

// from is the address of the client: of the socket, unless a proxy that we trust
// speaks for somebody else. It is the zero value, which no list of addresses admits,
// where that proxy does not say for whom in words that we understand.
func (x *exchange) from() netip.Addr {
	socket, _ := netip.ParseAddrPort(x.c.Request.RemoteAddr)
	at := socket.Addr().Unmap().WithZone("")
	header := strings.Join(x.c.Request.Header.Values("X-Forwarded-For"), ",")
	for header != "" && x.trusts(at) {
		last := header
		if i := strings.LastIndexByte(header, ','); i >= 0 {
			header, last = header[:i], header[i+1:]
		} else {
			header = ""
		}
		var ok bool
		if at, ok = forwarded(strings.TrimSpace(last)); !ok {
			return netip.Addr{}
		}
	}
	return at
}

func (x *exchange) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(x.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// forwarded reads one entry of X-Forwarded-For; some proxies add a port.
func forwarded(entry string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(strings.Trim(entry, "[]"))
	if err != nil {
		with, err := netip.ParseAddrPort(entry)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = with.Addr()
	}
	return addr.Unmap().WithZone(""), true
}
