package server

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/router"
	"tallyroute/router/limit"
)

// Router answers; *router.Router does.
type Router interface {
	Complete(ctx context.Context, in router.Inbound) (router.Result, error)
	Models(ctx context.Context, c router.Caller) ([]router.Model, error)
	Self(ctx context.Context, c router.Caller) (*billing.Key, []billing.Balance, error)
	// Events lists the rows that the key of c has caused by one request.
	Events(ctx context.Context, c router.Caller, requestID string) ([]billing.Spend, error)
	Rejected(ctx context.Context, c router.Caller, requestID string) ([]billing.RejectedRow, error)
}

var _ Router = (*router.Router)(nil)

// Options are what the listener is made of. Only Router is required.
type Options struct {
	Router Router
	// Ready is how requests can be answered, as a probe is told, or why they cannot
	// be. What a client reads of its error is what a method Reason() string of it says.
	Ready func(ctx context.Context) (map[string]string, error)
	// Observe is told of every request. method and route have few values.
	Observe func(method, route string, status int, took time.Duration)
	Log     *zap.Logger
	Clock   func() time.Time
	// TrustedProxies may say for whom they ask, in X-Forwarded-For. None by default.
	TrustedProxies []netip.Prefix
	// KeepAnswers says that the router keeps the answers to requests with an
	// Idempotency-Key. Without it that header means nothing.
	KeepAnswers bool
	// Origins are the pages that may use the API from a browser: https://app.example,
	// in lower case, or "*" for all. None by default.
	Origins []string
	Bytes   *limit.Bytes // that requests under way may hold; nil has no bound
	Limits  Limits
}

// Limits are what one client may take up. The zero value of each has a default.
type Limits struct {
	Body        int64 // bytes of a request's body; 10 MiB
	HeaderBytes int   // 32 KiB
	Fields      int   // in a request's header; 100
	Connections int   // open at once; 4096

	ReadHeader time.Duration // until the header of a request has come; 5 s
	ReadBody   time.Duration // until its body has come; 30 s
	Idle       time.Duration // between two requests of a connection; 60 s
	Write      time.Duration // until the client has taken one piece of an answer; 15 s
	Silence    time.Duration // of a stream, until its client is told that it is being worked on; 15 s
}

func (l Limits) withDefaults() Limits {
	orElse(&l.Body, 10<<20)
	orElse(&l.HeaderBytes, 32<<10)
	orElse(&l.Fields, 100)
	orElse(&l.Connections, 4096)
	orElse(&l.ReadHeader, 5*time.Second)
	orElse(&l.ReadBody, 30*time.Second)
	orElse(&l.Idle, time.Minute)
	orElse(&l.Write, 15*time.Second)
	orElse(&l.Silence, 15*time.Second)
	return l
}

func orElse[T int | int64 | time.Duration](v *T, otherwise T) {
	if *v <= 0 {
		*v = otherwise
	}
}

func (o Options) withDefaults() Options {
	if o.Ready == nil {
		o.Ready = func(context.Context) (map[string]string, error) { return map[string]string{"status": "ok"}, nil }
	}
	if o.Observe == nil {
		o.Observe = func(string, string, int, time.Duration) {}
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.Limits = o.Limits.withDefaults()
	return o
}

// server is the state that all requests share.
type server struct {
	Options
	stopping *atomic.Bool
	wrong    *limit.Store // lines of the log about keys that are nobody's
	discards limit.Slots
}

// Server is the public listener.
type Server struct {
	*http.Server
	conns    *connections
	stopping atomic.Bool
}

// New is the public listener, ready for Serve.
func New(o Options) (*Server, error) {
	if o.Router == nil {
		return nil, errors.New("server: no router")
	}
	o = o.withDefaults()
	s := &Server{conns: newConnections(o.Limits.Connections)}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	s.Server = &http.Server{
		Handler:           shared(o.Origins, spelled(s.engine(o))),
		ReadHeaderTimeout: o.Limits.ReadHeader,
		IdleTimeout:       o.Limits.Idle,
		MaxHeaderBytes:    o.Limits.HeaderBytes,
		ConnState:         s.conns.observe,
		ConnContext:       withConn,
		Protocols:         protocols, // neither HTTP/2 nor an upgrade to it
		ErrorLog:          errorLog(o.Log),

		DisableGeneralOptionsHandler: true,
	}
	return s, nil
}

// Stop has every answer from now on say that its connection is closed, so that
// clients send their next request elsewhere.
func (s *Server) Stop() { s.stopping.Store(true) }

// Drain waits, after Stop and once nothing more is accepted, until no request is
// under way and none has ended within grace, or ctx ends. Requests that still come
// are answered: a client that keeps a connection from before Stop does not know yet.
func (s *Server) Drain(ctx context.Context, grace time.Duration) {
	const look = 10 * time.Millisecond
	t := time.NewTicker(look)
	defer t.Stop()
	for !s.conns.quiet(grace) {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) engine(o Options) *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.RedirectTrailingSlash = false
	engine.RedirectFixedPath = false
	engine.HandleMethodNotAllowed = true
	engine.ForwardedByClientIP = false // see exchange.from
	engine.UseRawPath = true           // so that %2f is no slash

	h := &server{Options: o, stopping: &s.stopping, wrong: limit.New(), discards: limit.NewSlots(discards)}
	for _, operation := range providers.Operations() {
		engine.POST(operation.Path(), h.serve(func(x *exchange) { x.complete(operation) }))
	}
	for path, read := range map[string]func(*exchange){
		"/v1/models": listModels, "/v1/models/*id": getModel, "/v1/key": getKey, "/v1/requests/:id": getRequest,
		"/docs/errors/:code": explainCode, "/healthz": healthz, "/readyz": readyz,
	} {
		engine.GET(path, h.serve(read))
		engine.HEAD(path, h.serve(read))
	}
	engine.NoRoute(h.serve(func(x *exchange) { x.fail(noRoute(x.c.Request.URL)) }))
	engine.NoMethod(h.serve(func(x *exchange) {
		err := noRoute(x.c.Request.URL)
		if errors.Is(err, errNoRoute) {
			err = errNoMethod
		}
		x.fail(err)
	}))
	return engine
}
