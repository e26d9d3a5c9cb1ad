package admin

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/router/limit"
	"tallyroute/router/web"
)

// Options are what the listener is made of. Actions and Reports are required.
type Options struct {
	Actions manage.Actions
	Reports billing.Reports
	Zone    *time.Location // of the days in reports; UTC by default
	// Token is what opens the API; while it is empty the API is disabled.
	Token func() string
	// Login is how people log in; nil is not at all.
	Login *Login
	// Hosts are the names by which the listener may be called, beside addresses and
	// localhost. A page of another name could have its own name lead here.
	Hosts []string

	// Prices are those of the catalogue, for repricing.
	Prices func() []billing.Price
	// RequireTLS refuses credentials that came in clear from another host, and
	// TrustedProxies may say that what they pass on did not.
	RequireTLS     bool
	TrustedProxies []netip.Prefix
	Exposed        func(text string, from netip.Addr) // takes what came in clear; nil tells nobody
	// Health is how the providers have been behaving. Optional.
	Health func() Health
	// Ready tells a probe how requests can be answered, or why they cannot be. Of its
	// error a client reads what a method Reason() string of it returns.
	Ready   func(ctx context.Context) (map[string]string, error)
	Metrics http.Handler // optional
	Version string
	BaseURL string // of the public listener, for the snippets: http://host:8080/v1
	Log     *zap.Logger
	Clock   func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Token == nil {
		o.Token = func() string { return "" }
	}
	if o.Health == nil {
		o.Health = func() Health { return Health{Data: []TargetHealth{}} }
	}
	if o.Metrics == nil {
		o.Metrics = http.NotFoundHandler()
	}
	if o.Prices == nil {
		o.Prices = func() []billing.Price { return nil }
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	return o
}

// Bounds of an admin request.
const (
	requestTimeout = 15 * time.Second // reading, the work itself, and writing: each
	ledgerTimeout  = 10 * time.Minute // of work that reads whole months
	maxBody        = 1 << 20
)

// server is the state that all requests share.
type server struct {
	Options
	listener   web.Listener
	operations []operation
	wrong      *limit.Store // wrong tokens, and denials
	rules      map[string]rule
	known      *seenTokens // by which somebody was let in
	members    bool        // only self-service is served, on a listener that anybody reaches
	host       *manage.By  // who works on the host, without a listener; nil is nobody
	failed     func(error) // takes what host is told of errors
}

// New returns the admin listener, ready for Serve.
func New(o Options) *web.Server {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	s := web.NewServer(limits().WithDefaults(), o.Log)
	s.Handle(Handler(o))
	return s
}

func limits() web.Limits { return web.Limits{Body: maxBody, ReadBody: requestTimeout} }

// Handler is what an admin listener answers with these options.
func Handler(o Options) http.Handler {
	o = o.withDefaults()
	listener := web.NewListener(web.Listener{Log: o.Log, Clock: o.Clock, Ready: o.Ready, Errors: errorTable, Limits: limits()})
	return newEngine(&server{
		Options: o, listener: listener, operations: operations(), wrong: limit.New(), rules: rules(),
		known: &seenTokens{},
	})
}

func newEngine(s *server) *gin.Engine {
	engine := web.NewEngine()
	for path, h := range map[string]handler{
		"/healthz": func(x *exchange) error { x.Healthz(); return nil },
		"/readyz":  func(x *exchange) error { x.Readyz(x.ctx()); return nil },
		"/version": func(x *exchange) error {
			x.JSON(http.StatusOK, map[string]string{"version": x.Version})
			return nil
		},
		"/metrics": func(x *exchange) error {
			x.Metrics.ServeHTTP(x.C.Writer, x.C.Request)
			return nil
		},
		"/login":             browserLogin,
		"/login/callback":    browserCallback,
		"/docs/errors/:code": func(x *exchange) error { return x.Explain(x.C.Param("code")) },
	} {
		engine.GET(path, s.serve(h, requestTimeout))
	}
	for _, o := range s.operations {
		engine.Handle(o.method, base+o.path, s.serve(operatorsOnly(o), o.takes))
	}
	engine.NoRoute(s.serve(func(*exchange) error { return web.ErrNoRoute }, requestTimeout))
	engine.NoMethod(s.serve(func(*exchange) error { return web.ErrNoMethod }, requestTimeout))
	return engine
}

// seenTokens are hashes of tokens by which somebody was let in, so that those who send
// wrong ones from the same network keep nobody out.
type seenTokens struct {
	mu   sync.Mutex
	seen map[[32]byte]struct{}
}

const mostSeenTokens = 1000

func (s *seenTokens) contains(hash [32]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.seen[hash]
	return ok
}

func (s *seenTokens) add(hash [32]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil || len(s.seen) >= mostSeenTokens {
		s.seen = make(map[[32]byte]struct{})
	}
	s.seen[hash] = struct{}{}
}
