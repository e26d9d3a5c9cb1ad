// Package admin is the admin listener: keys, owners, budgets, spend, health and metrics, for
// operators. It cannot be reached with a virtual key, and nothing here answers a completion.
package admin

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
	"tallyroute/router/limit"
	"tallyroute/router/web"
)

// Options configure the listener. Actions and Reports are required.
type Options struct {
	Actions manage.Actions
	Reports billing.Reports
	Zone    *time.Location // for the days in reports; UTC by default
	// Token returns the static token for the API; if it is empty, the API is disabled.
	Token func() string
	// Login configures how people log in; nil: they cannot.
	Login *Login
	// Certified are the principals, by id or name, of clients whose certificate has a name: a
	// URI, DNS name or address, or CN= and the common name.
	Certified map[string]string
	// Hosts are the names under which the listener may be called, in addition to addresses and
	// localhost. Otherwise a page from another site could point its own name here (DNS
	// rebinding).
	Hosts []string

	// Prices returns the prices of the catalogue, for repricing.
	Prices func() []billing.Price
	// RequireTLS refuses credentials that arrived in plain text from another host.
	// TrustedProxies may state that what they forward did not.
	RequireTLS     bool
	TrustedProxies []netip.Prefix
	Exposed        func(text string, from netip.Addr) // gets each credential that arrived in plain text; may be nil
	// Health returns how the providers have been behaving. Optional.
	Health func() Health
	// Ready returns, for probes, how requests can be answered, or an error if they cannot.
	// Clients see only what the error's Reason() string method returns, if it has one.
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

// Bounds on an admin request.
const (
	requestTimeout = 15 * time.Second // for each of reading, the work itself, and writing
	ledgerTimeout  = 10 * time.Minute // for work that reads whole months
	maxBody        = 1 << 20
)

// server is the state that all requests share.
type server struct {
	Options
	listener   web.Listener
	operations []operation
	wrong      *limit.Store // counts wrong tokens, and denials
	rules      map[string]rule
	known      *seenTokens // that were accepted before
	members    bool        // only self-service is served, on a listener that anyone can reach
	host       *manage.By  // who works on the host, without a listener; otherwise nil
	failed     func(error) // gets the errors that host is to return
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

// Handler returns the handler of an admin listener with these options.
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

// seenTokens are hashes of tokens that were accepted, so that wrong tokens from the same
// network lock nobody out.
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

// OnHost is the API without a listener, for a person working on the host of the database: every
// call is made in that person's name, with every permission. If an operation fails, the round
// trip returns the action's error as it is.
func OnHost(o Options, by manage.By) http.RoundTripper {
	o = o.withDefaults()
	by.Access = rbac.Everything()
	listener := web.NewListener(web.Listener{Log: o.Log, Clock: o.Clock, Errors: errorTable, Limits: limits()})
	return &host{server{
		Options: o, listener: listener, operations: operations(), wrong: limit.New(), rules: rules(), known: &seenTokens{}, host: &by,
	}}
}

type host struct{ server }

// RoundTrip implements http.RoundTripper. The body is read while the operation writes it.
func (h *host) RoundTrip(r *http.Request) (*http.Response, error) {
	once := h.server // for the errors of this request alone
	var failed error
	once.failed = func(err error) { failed = err }
	body, out := io.Pipe()
	w := &pipeWriter{header: http.Header{}, body: out, begun: make(chan struct{})}
	served := r.Clone(r.Context())
	served.Host, served.URL.Host, served.RemoteAddr = "localhost", "", "127.0.0.1:0"
	go func() {
		newEngine(&once).ServeHTTP(w, served)
		w.begin(http.StatusOK)
		_ = out.CloseWithError(failed) // nil means the end of the answer
	}()
	select {
	case <-w.begun:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if w.status >= http.StatusBadRequest {
		_, _ = io.Copy(io.Discard, body) // until failed is set
		return nil, failed
	}
	return &http.Response{StatusCode: w.status, Header: w.header, Body: body, Request: r}, nil
}

// pipeWriter writes an answer that is read at the other end of a pipe.
type pipeWriter struct {
	header http.Header
	body   *io.PipeWriter
	once   sync.Once
	begun  chan struct{}
	status int
}

// Header implements http.ResponseWriter.
func (w *pipeWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *pipeWriter) WriteHeader(status int) { w.begin(status) }

// Write implements http.ResponseWriter.
func (w *pipeWriter) Write(b []byte) (int, error) {
	w.begin(http.StatusOK)
	return w.body.Write(b)
}

func (w *pipeWriter) begin(status int) {
	w.once.Do(func() {
		w.status = status
		close(w.begun)
	})
}
