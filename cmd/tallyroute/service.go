package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router"
	"tallyroute/router/admin"
	"tallyroute/router/fingerprint"
	"tallyroute/router/health"
	"tallyroute/router/idempotency"
	"tallyroute/router/limit"
	"tallyroute/router/server"
	"tallyroute/router/tokens"
	"tallyroute/router/web"
)

// service is a router with everything that it stands on.
type service struct {
	cfg      *Config
	log      *zap.Logger
	metrics  *metrics
	store    billing.Store
	books    *books // the ledger before the store
	pepper   keptPepper
	ready    *readiness
	verifier *billing.Verifier
	tokens   *tokens.Counter
	book     book
	prices   *billing.PriceBook
	client   *providers.Client
	bytes    *limit.Bytes // that requests under way hold
	left     *limit.Calls // that are finished without their clients
	health   *health.Tracker
	router   *router.Router
	demo     *demoProviders // nil where there are none

	public      *listener
	answers     *web.Server // of the public listener
	admin       *listener   // nil where it is off
	cutRequests func()      // ends what is under way, with http.ErrServerClosed as the cause
}

// newService puts a router together and opens its sockets. Nothing runs yet,
// and the database may be away.
func newService(ctx context.Context, cfg *Config, log *zap.Logger, counter *tokens.Counter) (*service, error) {
	s := &service{cfg: cfg, log: log, metrics: newMetrics(), tokens: counter, cutRequests: func() {}}
	var err error
	if s.pepper, err = cfg.pepper(ctx); err != nil {
		return nil, err
	}
	if s.store, err = cfg.openStore(ctx); err != nil {
		return nil, err
	}
	if s.books, err = s.openBooks(); err != nil {
		return nil, errors.Join(err, s.store.Close())
	}
	s.verifier = billing.NewVerifier(s.store, s.pepper.Pepper, billing.VerifierOptions{
		StaleFor: time.Duration(cfg.OfflineTTL),
		Closed:   true,
	})
	s.ready = newReadiness(s.store, s.books.unavailable, func() time.Time { return s.books.leased(s.verifier) })
	if err := s.route(ctx); err != nil {
		return nil, err
	}
	if err := s.listen(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// route builds what decides and what calls.
func (s *service) route(ctx context.Context) error {
	t := s.cfg.Timeouts
	var demo map[string]string
	var err error
	if s.cfg.Demo {
		if s.demo, err = newDemoProviders(ctx, s.tokens); err != nil {
			return err
		}
		demo = s.demo.documents()
	}
	if s.book, err = s.cfg.catalogue(ctx, demo); err != nil {
		return err
	}
	s.prices = billing.NewPriceBook(s.book.Prices())
	proxy, err := s.cfg.UpstreamProxy.resolve(ctx)
	if err != nil {
		return fmt.Errorf("upstream_proxy: %w", err)
	}
	s.client = providers.NewClient(providers.Options{
		Proxy:       proxy,
		DialTimeout: time.Duration(t.UpstreamDial), TLSTimeout: time.Duration(t.UpstreamTLS),
		HeaderTimeout: time.Duration(cmp.Or(t.UpstreamHeader, t.Request)), FirstTimeout: time.Duration(t.UpstreamFirstContent),
		StreamTimeout: time.Duration(t.UpstreamStreamHeader),
		IdleTimeout:   time.Duration(t.UpstreamIdle), IdleConns: s.cfg.Limits.IdleUpstream,
		UserAgent: "tallyroute/" + versionString(), Slots: s.tokens.Slots(),
	})
	s.health = health.New(health.Options{Random: rand.Int64N})
	s.metrics.watch(s.health)
	s.left = limit.NewCalls(s.cfg.Limits.BackgroundCallsPerKey, s.cfg.Limits.BackgroundCalls)
	var kept idempotency.Store
	if s.cfg.Idempotency.TTL > 0 {
		kept = s.store
	}
	var prints router.Fingerprint
	if s.cfg.Fingerprints {
		prints = fingerprint.New(s.pepper.Derive("tallyroute fingerprint"))
	}
	s.router = router.New(router.Parts{
		Verifier: s.verifier, Ledger: s.books.Ledger, Events: s.books, Prices: s.prices,
		Catalogue: s.book, Sender: s.client, Tokens: s.tokens, Health: s.health, Limits: limit.New(), Slots: s.tokens.Slots(),
		Observer: observers{s.metrics, recordLog{s.log}}, Idempotency: kept, Fingerprint: prints, Background: s.left,
	}, s.cfg.routerOptions())
	s.bytes = limit.NewBytes(s.cfg.Limits.bytes())
	s.metrics.watchHolds(s.router, s.bytes)
	return nil
}

func (c *Config) routerOptions() router.Options {
	return router.Options{
		AllowMembers: c.Members.Allow, RefuseMembers: c.Members.Refuse == "all",
		MaxAttempts: c.Routing.MaxAttempts, MaxOutput: c.Defaults.MaxOutputTokens,
		RequestTimeout: time.Duration(c.Timeouts.Request), ReadTimeout: time.Duration(c.Timeouts.Read),
		IdempotencyTTL: time.Duration(c.Idempotency.TTL),
		Requests:       chat.Limits{Messages: c.Limits.MaxMessages, Parts: c.Limits.MaxParts},
	}
}

// listen opens the sockets.
func (s *service) listen(ctx context.Context) error {
	t, l := s.cfg.Timeouts, s.cfg.Limits
	public, err := server.New(server.Options{
		Router: s.router, Ready: s.ready.check, Observe: s.metrics.observeHTTP, Log: s.log, Clock: s.books.now,
		TrustedProxies: prefixes(s.cfg.TrustedProxies), KeepAnswers: s.cfg.Idempotency.TTL > 0, Bytes: s.bytes,
		Limits: server.Limits{Silence: time.Duration(t.StreamSilence), Limits: web.Limits{
			Body: l.MaxBodyBytes, HeaderBytes: l.MaxHeaderBytes, Connections: l.MaxConnections,
			ReadHeader: time.Duration(t.ReadHeader), ReadBody: time.Duration(t.ReadBody),
			Idle: time.Duration(t.Idle), Write: time.Duration(t.Write),
		}},
	})
	if err != nil {
		return err
	}
	// Requests outlive the signal to stop; they end by themselves or are cut.
	requests, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	s.cutRequests = func() { cut(http.ErrServerClosed); s.left.Cut() }
	public.BaseContext = func(net.Listener) context.Context { return requests }
	public.Handler = s.metrics.inFlight(public.Handler)
	s.answers = public
	if s.public, err = listen(ctx, "public", s.cfg.Listen, public.Server); err != nil {
		return err
	}
	s.public.net = server.Listener(s.public.net)
	if s.cfg.adminOff() {
		return nil
	}
	token, err := s.adminToken(ctx)
	if err != nil {
		return err
	}
	zone, err := s.cfg.reporting()
	if err != nil {
		return err
	}
	s.admin, err = listen(ctx, "admin", s.cfg.AdminListen, s.administration(token, zone))
	return err
}

// adminToken is what opens the admin API; "" where it is switched off.
func (s *service) adminToken(ctx context.Context) (string, error) {
	v, ok, err := s.cfg.AdminToken.resolve(ctx)
	if !ok || err != nil {
		return "", err
	}
	token, err := billing.ParseSecret(v.Reveal())
	if err != nil || token.Environment() != billing.EnvironmentAdmin {
		return "", errAdminToken
	}
	return token.Reveal(), nil
}

// administration is the server behind the admin listener.
func (s *service) administration(token string, zone *time.Location) *http.Server {
	return admin.New(admin.Options{
		Actions: manage.Actions{Store: managed{s.store, s.books.Balances}, Pepper: s.pepper.Pepper, KnownModel: s.book.known},
		Reports: s.books,
		Zone:    zone,
		Prices:  s.book.Prices,
		Token:   func() string { return token },
		Hosts:   s.cfg.adminHosts(),

		Health:  func() any { return viewHealth(s.health.Snapshot(time.Now())) },
		Ready:   s.ready.check,
		Metrics: s.metrics.handler(),
		Version: versionString(),
		BaseURL: "http://" + reachable(s.public.address()) + "/v1",
		Log:     s.log,
	})
}

// managed is the database with the balances that a running router knows of.
type managed struct {
	billing.Store
	balances func(context.Context, *billing.Key, time.Time) ([]billing.Balance, error)
}

// Balances implements manage.Store.
func (m managed) Balances(ctx context.Context, k *billing.Key, now time.Time) ([]billing.Balance, error) {
	return m.balances(ctx, k, now)
}

// listeners are all that are open.
func (s *service) listeners() []*listener {
	list := []*listener{s.public}
	if s.admin != nil {
		list = append(list, s.admin)
	}
	if s.demo != nil {
		list = append(list, s.demo.listeners...)
	}
	return list
}
