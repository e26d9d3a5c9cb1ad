package web

import (
	"context"
	"log"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"
)

// Limits is what one client may take up. Each zero value stands for a default.
type Limits struct {
	Body        int64 // bytes of a request's body; 10 MiB
	HeaderBytes int   // 32 KiB
	Fields      int   // in a request's header; 100
	Connections int   // open at once; 4096

	ReadHeader time.Duration // until the header of a request has arrived; 5 s
	ReadBody   time.Duration // until its body has arrived; 30 s
	Idle       time.Duration // between two requests on a connection; 60 s
	Write      time.Duration // until the client has accepted one piece of an answer; 15 s
}

// WithDefaults returns the limits with a default for each that is not set.
func (l Limits) WithDefaults() Limits {
	OrElse(&l.Body, 10<<20)
	OrElse(&l.HeaderBytes, 32<<10)
	OrElse(&l.Fields, 100)
	OrElse(&l.Connections, 4096)
	OrElse(&l.ReadHeader, 5*time.Second)
	OrElse(&l.ReadBody, 30*time.Second)
	OrElse(&l.Idle, time.Minute)
	OrElse(&l.Write, 15*time.Second)
	return l
}

// OrElse sets v to otherwise unless it is positive.
func OrElse[T int | int64 | time.Duration](v *T, otherwise T) {
	if *v <= 0 {
		*v = otherwise
	}
}

// Server is an http.Server whose connections are counted, bounded and drained. HTTP/2 is
// available over TLS only.
type Server struct {
	*http.Server
	Strict   time.Duration // for how long browsers should use TLS only; 0: no header
	conns    *connections
	streams  atomic.Int64 // requests in progress on connections that may have several
	most     int64        // of streams: the same as the maximum number of connections
	stopping atomic.Bool
}

// Bounds for HTTP/2. A connection may have as many requests in progress as a program needs, but
// buffers little of bodies for which there is no room yet.
const (
	mostStreams = 100
	mostFrame   = 16 << 10
	mostAhead   = 128 << 10 // bytes of bodies, per connection
	idlePing    = 30 * time.Second
)

// NewServer returns a server with these limits, ready for a handler and Serve.
func NewServer(l Limits, logger *zap.Logger) *Server {
	s := &Server{conns: newConnections(l.Connections), most: int64(l.Connections)}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true) // over TLS; there is no upgrade to it
	s.Server = &http.Server{
		ReadHeaderTimeout: l.ReadHeader,
		IdleTimeout:       l.Idle,
		MaxHeaderBytes:    l.HeaderBytes,
		ConnState:         s.conns.observe,
		Protocols:         protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: mostStreams, MaxReadFrameSize: mostFrame,
			MaxReceiveBufferPerConnection: mostAhead, MaxReceiveBufferPerStream: mostAhead,
			SendPingTimeout: idlePing, PingTimeout: l.Write, WriteByteTimeout: l.Write,
		},
		ErrorLog: errorLog(logger),

		DisableGeneralOptionsHandler: true,
	}
	return s
}

// Handle makes h answer requests, within the bounds of the server. Over TLS, browsers are told
// to use TLS only for as long as s.Strict says.
func (s *Server) Handle(h http.Handler) {
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil && s.Strict > 0 {
			w.Header().Set("Strict-Transport-Security", "max-age="+strconv.FormatInt(int64(s.Strict.Seconds()), 10))
		}
		if r.ProtoMajor < 2 {
			h.ServeHTTP(w, r)
			return
		}
		if s.streams.Add(1) > s.most {
			s.streams.Add(-1)
			crowded(w)
			return
		}
		defer s.streams.Add(-1)
		h.ServeHTTP(w, r)
	})
}

// crowded refuses a request beyond the maximum number in progress.
func crowded(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", JSONType)
	h.Set("Retry-After", "1")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusServiceUnavailable)
	body := Encode(map[string]any{"error": map[string]any{
		"message": "Too many requests are under way.", "type": TypeAPI, "param": nil, "code": CodeOverloaded,
	}})
	_, _ = w.Write(body) // a client that has gone needs no answer
}

// Stop makes every answer from now on announce that its connection closes, so that clients send
// their next request elsewhere.
func (s *Server) Stop() { s.stopping.Store(true) }

// Stopping reports whether Stop was called.
func (s *Server) Stopping() bool { return s.stopping.Load() }

// Drain waits, after Stop and once nothing more is accepted, until no connection is left or ctx
// ends. Connections that have been idle for grace are closed. Requests that still arrive are
// answered: a client with a connection from before Stop does not know yet.
func (s *Server) Drain(ctx context.Context, grace time.Duration) {
	const look = 10 * time.Millisecond
	t := time.NewTicker(look)
	defer t.Stop()
	for !s.conns.dismiss(grace) {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// NewEngine returns an HTTP router that matches paths exactly: nothing is redirected, and no
// header from a client is trusted.
func NewEngine() *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.RedirectTrailingSlash = false
	engine.RedirectFixedPath = false
	engine.HandleMethodNotAllowed = true
	engine.ForwardedByClientIP = false
	engine.UseRawPath = true // so that %2f is not a slash
	return engine
}

// errorLog logs what net/http reports: broken handshakes and the like.
func errorLog(l *zap.Logger) *log.Logger {
	std, err := zap.NewStdLogAt(l, zap.DebugLevel)
	if err != nil {
		return nil // cannot happen: the level exists
	}
	return std
}
