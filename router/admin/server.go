package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"tallyroute/billing"
)

// Options are what the admin listener is made of.
type Options struct {
	Keys    billing.Keys
	Owners  billing.Owners
	Reports billing.Reports
	Issuer  billing.Issuer
	// Token opens the API. Where it is empty the API answers that it is switched off.
	Token func() string
	// KnownModel reports whether a key may be limited to name, and if not, what is near.
	KnownModel func(name string) (nearest string, known bool)
	// Health is a view of how providers are doing, ready for JSON.
	Health func() any
	// Ready is nil when requests can be answered. What a client reads of its
	// error is what a method Reason() string of it says.
	Ready   func(ctx context.Context) error
	Metrics http.Handler
	Version string
	BaseURL string // of the public listener, for snippets: http://127.0.0.1:8080/v1
	Log     *zap.Logger
	Clock   func() time.Time
}

// How long one admin request may take, and how much it may send.
const (
	requestTimeout = 15 * time.Second
	bodyLimit      = 1 << 20
	headerLimit    = 32 << 10
)

// api is the state that all requests share.
type api struct{ Options }

// New is the admin listener, ready for Serve.
func New(o Options) *http.Server {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Token == nil {
		o.Token = func() string { return "" }
	}
	return &http.Server{
		Handler:           newEngine(&api{o}),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      2 * requestTimeout, // a scrape of the metrics included
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    headerLimit,
		ErrorLog:          zap.NewStdLog(o.Log.WithOptions(zap.IncreaseLevel(zap.ErrorLevel))),
	}
}

func newEngine(a *api) *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.RedirectTrailingSlash, e.RedirectFixedPath, e.HandleMethodNotAllowed = false, false, true
	_ = e.SetTrustedProxies(nil) // nil is always accepted
	e.Use(a.recover)
	e.GET("/healthz", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok"}) })
	e.GET("/readyz", a.readyz)
	e.GET("/version", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"version": a.Version}) })
	if a.Metrics != nil {
		e.GET("/metrics", gin.WrapH(a.Metrics))
	}
	v1 := e.Group("/admin/v1", a.begin, a.authenticate)
	v1.POST("/keys", a.handle(a.createKey))
	v1.GET("/keys", a.handle(a.listKeys))
	v1.GET("/keys/:id", a.handle(a.getKey))
	v1.PATCH("/keys/:id", a.handle(a.updateKey))
	v1.POST("/keys/:id/revoke", a.handle(a.revokeKey))
	v1.GET("/teams", a.handle(a.listTeams))
	v1.GET("/projects", a.handle(a.listProjects))
	v1.POST("/projects", a.handle(a.createProject))
	v1.GET("/budgets", a.handle(a.listBudgets))
	v1.POST("/budgets", a.handle(a.setBudget))
	v1.GET("/spend", a.handle(a.spend))
	v1.GET("/health", a.handle(func(*gin.Context) (int, any, error) { return http.StatusOK, a.Health(), nil }))
	e.NoRoute(a.begin, a.handle(func(*gin.Context) (int, any, error) { return 0, nil, errNoRoute }))
	e.NoMethod(a.begin, a.handle(func(*gin.Context) (int, any, error) { return 0, nil, errNoMethod }))
	return e
}

// begin gives the request an id, a time and a size.
func (a *api) begin(c *gin.Context) {
	id := billing.NewID("req_")
	c.Header("X-Request-Id", id)
	c.Header("Cache-Control", "no-store") // answers may hold a secret
	c.Header("X-Content-Type-Options", "nosniff")
	ctx, cancel := context.WithTimeout(c.Request.Context(), requestTimeout)
	defer cancel()
	c.Request = c.Request.WithContext(ctx)
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, bodyLimit)
	began := a.Clock()
	if _, err := url.ParseQuery(c.Request.URL.RawQuery); err != nil {
		a.fail(c, errQuery) // or a filter that cannot be read would narrow nothing
	}
	c.Next()
	a.Log.Info("admin", zap.String("request_id", id), zap.String("method", c.Request.Method),
		zap.String("route", c.FullPath()), zap.Int("status", c.Writer.Status()), zap.Duration("took", a.Clock().Sub(began)))
}

// authenticate lets in who has the token. Hashes are compared, so that the time
// it takes says nothing about how much of a guess was right, or how long it was.
func (a *api) authenticate(c *gin.Context) {
	token := a.Token()
	if token == "" {
		a.fail(c, errDisabled)
		return
	}
	given := c.Request.Header.Values("Authorization")
	scheme, value := "", ""
	if len(given) == 1 {
		scheme, value, _ = strings.Cut(given[0], " ")
	}
	want, got := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(strings.TrimSpace(value)))
	if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
		a.fail(c, errToken)
		return
	}
	c.Next()
}

func (a *api) readyz(c *gin.Context) {
	if a.Ready == nil {
		c.JSON(http.StatusOK, gin.H{"status": "ready"})
		return
	}
	err := a.Ready(c.Request.Context())
	if err == nil {
		c.JSON(http.StatusOK, gin.H{"status": "ready"})
		return
	}
	reason := "not ready"
	if r, ok := err.(interface{ Reason() string }); ok {
		reason = r.Reason()
	}
	c.JSON(http.StatusServiceUnavailable, gin.H{"status": "not_ready", "reason": reason})
}

// recover turns a panic into an error that tells the client nothing.
func (a *api) recover(c *gin.Context) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler { //nolint:errorlint // the sentinel itself is what is thrown
				panic(p)
			}
			a.Log.Error("panic", zap.Any("value", p), zap.Stack("stack"))
			a.fail(c, errPanic)
		}
	}()
	c.Next()
}

// handle writes what f returns as JSON, or its error.
func (a *api) handle(f func(*gin.Context) (int, any, error)) gin.HandlerFunc {
	return func(c *gin.Context) {
		status, body, err := f(c)
		if err != nil {
			a.fail(c, err)
			return
		}
		c.JSON(status, body)
	}
}
