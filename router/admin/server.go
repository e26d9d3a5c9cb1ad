package admin

import (
	"context"
	"log"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/router/limit"
)

// Options are what the listener is made of. Actions and Reports are required.
type Options struct {
	Actions manage.Actions
	Reports billing.Reports
	Zone    *time.Location // of the days of reports; nil is UTC
	// Token is what opens the API; while it is empty the API is disabled.
	Token func() string
	// Hosts are the names by which the listener may be called, beside addresses and
	// localhost. A page of another name could have its own name lead here.
	Hosts []string

	// Prices are those of the catalogue, for repricing.
	Prices func() []billing.Price
	// Health is how the providers have been behaving, as it is to be encoded. Optional.
	Health func() any
	// Ready is how requests can be answered, as a probe is told, or why they cannot
	// be. What is told of its error is what a method Reason() string of it says.
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
	if o.Ready == nil {
		o.Ready = func(context.Context) (map[string]string, error) { return map[string]string{"status": "ok"}, nil }
	}
	if o.Health == nil {
		o.Health = func() any { return map[string]any{"data": []any{}} }
	}
	if o.Metrics == nil {
		o.Metrics = http.NotFoundHandler()
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Prices == nil {
		o.Prices = func() []billing.Price { return nil }
	}
	return o
}

// Bounds of an admin request.
const (
	readHeaderTimeout = 5 * time.Second
	requestTimeout    = 15 * time.Second // reading, the work itself, and writing: each
	ledgerTimeout     = 10 * time.Minute // of work that reads whole months
	idleTimeout       = time.Minute
	maxHeader         = 32 << 10
	maxBody           = 1 << 20
)

// server is the state that all requests share.
type server struct {
	Options
	wrong *limit.Store // tokens that are none
}

// New is the admin listener, ready for Serve.
func New(o Options) *http.Server {
	o = o.withDefaults()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           newEngine(&server{o, limit.New()}),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      2 * requestTimeout, // it starts before the work does
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		Protocols:         protocols,
		ErrorLog:          errorLog(o.Log),

		DisableGeneralOptionsHandler: true,
	}
}

func newEngine(s *server) *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.RedirectTrailingSlash = false
	engine.RedirectFixedPath = false
	engine.HandleMethodNotAllowed = true
	engine.ForwardedByClientIP = false

	engine.GET("/healthz", s.serve(healthz, requestTimeout))
	engine.GET("/readyz", s.serve(readyz, requestTimeout))
	engine.GET("/version", s.serve(version, requestTimeout))
	engine.GET("/metrics", s.serve(func(x *exchange) error {
		x.Metrics.ServeHTTP(x.c.Writer, x.c.Request)
		return nil
	}, requestTimeout))

	api := engine.Group("/admin/v1")
	type route struct {
		method, path string
		handle       handler
	}
	for _, r := range []route{
		{http.MethodPost, "/keys", createKey},
		{http.MethodGet, "/keys", listKeys},
		{http.MethodGet, "/keys/:id", getKey},
		{http.MethodPatch, "/keys/:id", changeKey},
		{http.MethodPost, "/keys/:id/revoke", revokeKey},
		{http.MethodPost, "/keys/:id/enable", enableKey},
		{http.MethodGet, "/teams", listTeams},
		{http.MethodPost, "/teams", createTeam},
		{http.MethodGet, "/projects", listProjects},
		{http.MethodPost, "/projects", createProject},
		{http.MethodGet, "/budgets", listBudgets},
		{http.MethodPost, "/budgets", setBudget},
		{http.MethodPost, "/spend/adjustments", adjustSpend},
		{http.MethodGet, "/periods", listPeriods},
		{http.MethodPost, "/periods/:month/close", closePeriod},
		{http.MethodPost, "/periods/:month/reopen", reopenPeriod},
		{http.MethodGet, "/replicas", listReplicas},
		{http.MethodPost, "/replicas/:id/forget", forgetReplica},
		{http.MethodGet, "/rejects", listRejects},
		{http.MethodPost, "/rejects/:request/book", bookReject},
		{http.MethodGet, "/events", listEvents},
		{http.MethodGet, "/health", getHealth},
	} {
		api.Handle(r.method, r.path, s.serve(operatorsOnly(r.handle), requestTimeout))
	}
	for _, r := range []route{ // that read whole months
		{http.MethodGet, "/spend", getSpend},
		{http.MethodGet, "/periods/:month/rows", archiveRows},
		{http.MethodPost, "/periods/:month/archive", archivePeriod},
		{http.MethodPost, "/prices/reprice", reprice},
		{http.MethodPost, "/integrity", checkIntegrity},
	} {
		api.Handle(r.method, r.path, s.serve(operatorsOnly(r.handle), ledgerTimeout))
	}
	engine.NoRoute(s.serve(func(*exchange) error { return errNoRoute }, requestTimeout))
	engine.NoMethod(s.serve(func(*exchange) error { return errNoMethod }, requestTimeout))
	return engine
}

// errorLog takes what net/http has to say: broken handshakes and the like.
func errorLog(l *zap.Logger) *log.Logger {
	std, err := zap.NewStdLogAt(l, zap.DebugLevel)
	if err != nil {
		return nil // no such level, which there is
	}
	return std
}
