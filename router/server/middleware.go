package server

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"tallyroute/billing"
	"tallyroute/providers/sse"
	"tallyroute/router/limit"
	"tallyroute/router/web"
)

// exchange is one request that is being answered.
type exchange struct {
	*server
	web.Exchange
	ctx   context.Context // ends when the client has gone
	leave func(error)     // ends ctx
	room  *limit.Share    // what the request holds in memory
	// speaks is the format of the client, and lost what of its request nobody is told of.
	speaks entrance
	lost   []string
	shape  shape // of a stream
	// keyEnd is how messages name the key that was sent: " (…x7qd)".
	keyEnd string
	key    billing.KeyID // for the log, once it is known
	holder *billing.Key  // for messages; nil where it is not known

	unwatch   func() bool // nil where ctx is the request's
	silence   silence
	recorded  *recording // of a stream that is kept; else nil
	streaming bool       // an event stream has begun
	events    *sse.Writer
	batched   bool // events are flushed when the next one is waited for
	unsent    bool // there are events that were not flushed
}

// serve is what every route has in common: a request id, limits on the header,
// recovery, and one line in the log.
func (s *server) serve(h func(*exchange)) gin.HandlerFunc {
	return func(c *gin.Context) {
		x := s.begin(c)
		defer x.end()
		if err := x.Admit(); err != nil {
			x.fail(err)
			return
		}
		h(x)
	}
}

func (s *server) begin(c *gin.Context) *exchange {
	x := &exchange{server: s, Exchange: s.listener.Begin(c), room: s.Bytes.Open(), speaks: &completions{}}
	x.present()
	return x
}

// end is deferred: it answers for a panic, and writes the log.
func (x *exchange) end() {
	x.hush()
	defer x.room.Close()
	if v := recover(); v != nil {
		if err := x.Panicked(v); err != nil {
			x.fail(err)
		}
	}
	status := x.C.Writer.Status()
	if x.Refused == web.CodeClientGone {
		status = web.StatusClientGone
	}
	took := x.Clock().Sub(x.Start)
	x.log(status, took)
	x.Observe(method(x.C.Request.Method), x.route(), status, took)
	x.unattended()
	if x.Cut {
		x.linger()
		panic(http.ErrAbortHandler) // closes the connection without ending the answer
	}
}

// unread is how long a client has to read the error of a stream before its connection
// is closed: some throw away what they have not read by then.
const unread = 250 * time.Millisecond

// linger waits until the client has read the error or gone.
func (x *exchange) linger() {
	if !x.streaming {
		return
	}
	timer := time.NewTimer(unread)
	defer timer.Stop()
	select {
	case <-x.C.Request.Context().Done():
	case <-timer.C:
	}
}

// from is the address of the client: of the socket, unless a proxy that we trust
// speaks for somebody else. It is the zero value, which no list of addresses admits,
// where that proxy does not say for whom in words that we understand.
func (x *exchange) from() netip.Addr {
	socket, _ := netip.ParseAddrPort(x.C.Request.RemoteAddr)
	at := socket.Addr().Unmap().WithZone("")
	header := strings.Join(x.C.Request.Header.Values("X-Forwarded-For"), ",")
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
