// Package server is the public listener: routes, limits on what a client may take up, event
// streams, and errors as OpenAI JSON. What a completion is, who may have it and what it costs
// is decided by router; keys and budgets are managed on the admin listener.
package server

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/access"
	"tallyroute/billing/policy"
	"tallyroute/providers"
	"tallyroute/router"
	"tallyroute/router/kept"
	"tallyroute/router/limit"
	"tallyroute/router/web"
)

// Router answers requests; *router.Router implements it.
type Router interface {
	Complete(ctx context.Context, in router.Inbound) (router.Result, error)
	Count(ctx context.Context, in router.Inbound) (*billing.Key, router.Counted, error)
	Models(ctx context.Context, c router.Caller) (*billing.Key, []providers.Listing, error)
	Self(ctx context.Context, c router.Caller) (*billing.Key, []billing.Balance, error)
	Identify(ctx context.Context, c router.Caller) (*billing.Key, error)
	// Events lists the rows that the key of c has caused by one request.
	Events(ctx context.Context, c router.Caller, requestID string) (*billing.Key, []billing.Spend, error)
	Rejected(ctx context.Context, c router.Caller, requestID string) ([]billing.RejectedRow, error)
}

var _ Router = (*router.Router)(nil)

// Options configure the listener. Only Router is required.
type Options struct {
	Router Router
	// Ready returns, for probes, how requests can be answered, or an error if they cannot.
	// Clients see only what the error's Reason() string method returns, if it has one.
	Ready func(ctx context.Context) (map[string]string, error)
	// Observe is told about every request. method and route have few distinct values.
	Observe func(method, route string, status int, took time.Duration)
	// Access records who used which key from where; nil records nothing.
	Access *access.Recorder
	Log    *zap.Logger
	Clock  func() time.Time
	// TrustedProxies may name the client in X-Forwarded-For. None by default.
	TrustedProxies []netip.Prefix
	// AllowedNetworks are the networks that may use the listener, and BlockedNetworks those that
	// must not. If AllowedNetworks is empty, all may. Probes are always answered.
	AllowedNetworks, BlockedNetworks []netip.Prefix
	// KeepAnswers says that the router stores the answers to requests with an Idempotency-Key.
	// Without it, that header has no effect.
	KeepAnswers bool
	// Origins are the origins whose pages may use the API from a browser: https://app.example,
	// in lower case, or "*" for all. None by default.
	Origins []string
	// Handover opens handovers of keys; nil: there are none.
	Handover Handover
	// Asks returns what the organisation requires of a key; nil requires nothing.
	Asks Asks
	// Temporary makes and opens temporary keys; nil: there are none.
	Temporary *Temporary
	Responses *kept.Shelf // stored responses; nil stores none
	// SelfService serves /v1/team, with credentials of its own; nil serves nothing.
	SelfService http.Handler
	Bytes       *limit.Bytes // memory for requests in progress; nil sets no bound
	Limits      Limits
	// RequireTLS refuses keys that arrive in plain text from another host, and reports them.
	RequireTLS bool
	Exposed    func(text string, from netip.Addr) // gets each key that arrived in plain text; may be nil
}

// Limits are what one client may take up.
type Limits struct {
	web.Limits
	Silence time.Duration // how long a stream may be silent before its client is told that it is being worked on; 15 s
}

func (l Limits) withDefaults() Limits {
	l.Limits = l.Limits.WithDefaults()
	web.OrElse(&l.Silence, 15*time.Second)
	return l
}

// server is the state that all requests share.
type server struct {
	listener web.Listener

	Router         Router
	Observe        func(method, route string, status int, took time.Duration)
	Access         *access.Recorder
	TrustedProxies []netip.Prefix
	allowed        []netip.Prefix
	blocked        []netip.Prefix
	KeepAnswers    bool
	Bytes          *limit.Bytes
	patience       time.Duration // with a silent stream
	wrong          *limit.Store  // limits what is written down about unknown keys
	Handover       Handover
	Asks           Asks
	Temporary      *Temporary
	Responses      *kept.Shelf
	SelfService    http.Handler
	requireTLS     bool
	exposed        func(text string, from netip.Addr)
}

// errorTable is how clients of this listener see errors.
var errorTable = &web.Errors{Rows: table, Codes: codes}

// New returns the public listener, ready for Serve.
func New(o Options) (*web.Server, error) {
	if o.Router == nil {
		return nil, errors.New("server: no router")
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	s := Bare(o.Limits.Limits, o.Log)
	s.Handle(Handler(s, o))
	return s, nil
}

// Bare returns a public listener that still needs a handler.
func Bare(l web.Limits, log *zap.Logger) *web.Server {
	s := web.NewServer(l.WithDefaults(), log)
	s.ConnContext = withConn
	return s
}

// Handler returns the handler of a public listener with these options: a running server can
// change everything that does not belong to its socket.
func Handler(s *web.Server, o Options) http.Handler {
	if o.Observe == nil {
		o.Observe = func(string, string, int, time.Duration) {}
	}
	o.Limits = o.Limits.withDefaults()
	listener := web.NewListener(web.Listener{Log: o.Log, Clock: o.Clock, Ready: o.Ready, Limits: o.Limits.Limits, Errors: errorTable})
	listener.Stopping = s.Stopping
	return shared(o.Origins, spelled(engine(&server{
		listener: listener, Router: o.Router, Observe: o.Observe, Access: o.Access, TrustedProxies: o.TrustedProxies,
		KeepAnswers: o.KeepAnswers,
		allowed:     o.AllowedNetworks, blocked: o.BlockedNetworks, Bytes: o.Bytes, Handover: o.Handover, Asks: o.Asks,
		Temporary: o.Temporary, Responses: o.Responses,
		SelfService: o.SelfService,
		patience:    o.Limits.Silence, wrong: limit.New(),
		requireTLS: o.RequireTLS, exposed: o.Exposed,
	})))
}

func engine(s *server) *gin.Engine {
	engine := web.NewEngine()
	for _, operation := range providers.Operations() {
		to := policy.Chat
		if operation == providers.Embed {
			to = policy.Embeddings
		}
		engine.POST(operation.Path(), s.serve(func(x *exchange) {
			x.speaks = &completions{chats: operation == providers.Chat}
			x.complete(operation, to)
		}))
	}
	engine.POST(responsesPath, s.serve(func(x *exchange) {
		x.speaks = &asResponses{}
		x.complete(providers.Chat, policy.Responses)
	}))
	if s.Responses != nil {
		keptRoutes(engine, s)
	}
	engine.POST(messagesPath, s.serve(func(x *exchange) {
		x.speaks = &asMessages{}
		x.complete(providers.Chat, policy.Messages)
	}))
	if s.Handover != nil {
		engine.POST("/handover", s.serve(private(takeHandover)))
		engine.GET("/handover", s.serve(private(showHandover)))
	}
	if s.Temporary != nil {
		engine.POST("/v1/key/tokens", s.serve(makeTemporary))
		if s.Temporary.Identity != nil {
			engine.POST("/v1/oauth/token", s.serve(private(exchangeIdentity)))
		}
	}
	if s.SelfService != nil {
		engine.Any(selfServicePath, s.serve(serveSelf))
		engine.Any(selfServicePath+"/*rest", s.serve(serveSelf))
	}
	engine.POST("/v1/messages/count_tokens", s.serve(countMessage))
	engine.POST("/v1/responses/input_tokens", s.serve(countResponse))
	engine.POST("/v1/responses/compact", s.serve(compactResponse))
	for path, read := range map[string]func(*exchange){
		"/v1/models": listModels, "/v1/models/*id": getModel, "/v1/key": getKey, "/v1/key/policy": getKeyPolicy,
		"/v1/requests/:id":   getRequest,
		"/docs/errors/:code": explainCode,
		"/healthz":           func(x *exchange) { x.Healthz() },
		"/readyz":            func(x *exchange) { x.Readyz(x.ctx) },
	} {
		engine.GET(path, s.serve(read))
		engine.HEAD(path, s.serve(read))
	}
	engine.HEAD("/", s.serve(func(x *exchange) { x.Healthz() })) // agents use it to see whether a server is there
	engine.NoRoute(s.serve(func(x *exchange) { x.fail(noRoute(x.C.Request.URL)) }))
	engine.NoMethod(s.serve(func(x *exchange) {
		err := noRoute(x.C.Request.URL)
		if errors.Is(err, web.ErrNoRoute) {
			err = web.ErrNoMethod
		}
		x.fail(err)
	}))
	return engine
}

// explainCode is GET /docs/errors/{code}: the page that doc_url names.
func explainCode(x *exchange) {
	if err := x.Explain(x.C.Param("code")); err != nil {
		x.fail(err)
	}
}

// anyOrigin in Options.Origins allows every page.
const anyOrigin = "*"

// Bounds on what a preflight request may ask for.
const (
	preflightAge  = "600" // seconds
	mostPreflight = 2 << 10
)

// shared lets pages from the given origins use the API from a browser. Without any, answers
// have no CORS headers, so that browsers keep other pages out.
func shared(origins []string, next http.Handler) http.Handler {
	if len(origins) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		origin := r.Header.Get("Origin")
		if origin == "" || strings.HasPrefix(r.URL.Path, selfServicePath) ||
			!slices.Contains(origins, anyOrigin) && !slices.Contains(origins, strings.ToLower(origin)) {
			next.ServeHTTP(w, r)
			return
		}
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "*")
		if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
			next.ServeHTTP(w, r)
			return
		}
		h.Add("Vary", "Access-Control-Request-Headers")
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE")
		if asked := r.Header.Get("Access-Control-Request-Headers"); len(asked) <= mostPreflight && isHeaderList(asked) {
			h.Set("Access-Control-Allow-Headers", asked)
		}
		h.Set("Access-Control-Max-Age", preflightAge)
		w.WriteHeader(http.StatusNoContent)
	})
}

// isHeaderList reports whether s is a list of header names.
func isHeaderList(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_, ", r)
	})
}
