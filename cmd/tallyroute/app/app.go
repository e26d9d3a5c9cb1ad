package app

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/logs"
	"tallyroute/cmd/tallyroute/metrics"
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

// Service is a router with everything that it stands on.
type Service struct {
	Options
	cfg      *config.Config
	metrics  *metrics.Metrics
	store    billing.Store
	ledger   *ledger // before the store
	pepper   Pepper
	ready    *readiness
	verifier *billing.Verifier
	book     Catalogue
	prices   *billing.PriceBook
	client   *providers.Client
	bytes    *limit.Bytes // that requests under way hold
	oneKey   int64        // that those of one key may hold
	left     *limit.Calls // that are finished without their clients
	health   *health.Tracker
	router   *router.Router

	public      *listener
	answers     *web.Server // of the public listener
	admin       *listener   // nil where it is off
	local       []*listener // of the demonstration's providers
	cutRequests func()      // ends what is under way, with router.ErrStopping as the cause
}

// Options are what a Service is given besides its configuration.
type Options struct {
	Log     *zap.Logger
	Tokens  *tokens.Counter
	Demo    Local  // for demo: true
	Version string // of the program
}

// New puts a router together and opens its sockets. Nothing runs yet, and the
// database may be away.
func New(ctx context.Context, cfg *config.Config, o Options) (*Service, error) {
	s := &Service{Options: o, cfg: cfg, metrics: metrics.New(o.Version), cutRequests: func() {}}
	var err error
	if s.pepper, err = ReadPepper(ctx, cfg); err != nil {
		return nil, err
	}
	if s.store, err = OpenStore(ctx, cfg); err != nil {
		return nil, err
	}
	if s.ledger, err = s.openLedger(); err != nil {
		return nil, errors.Join(err, s.store.Close())
	}
	s.verifier = billing.NewVerifier(s.store, s.pepper.Pepper, billing.VerifierOptions{
		StaleFor: time.Duration(cfg.OfflineTTL),
		Closed:   true,
	})
	s.ready = newReadiness(s.store, s.ledger.unavailable, func() time.Time { return s.ledger.leased(s.verifier) })
	if err := s.route(ctx); err != nil {
		return nil, err
	}
	if err := s.listen(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Address is where the listener with this name can be reached: "public", "admin" or
// one of the demonstration's providers. It is "" where there is none.
func (s *Service) Address(name string) string {
	for _, l := range s.listeners() {
		if l.name == name {
			return Reachable(l.address())
		}
	}
	return ""
}

// Actions are what operators can do.
func (s *Service) Actions() manage.Actions {
	return manage.Actions{Store: managed{s.store, s.ledger.Balances}, Pepper: s.pepper.Pepper, KnownModel: s.book.known}
}

// Reports read the ledger, with all that is settled.
func (s *Service) Reports() billing.Reports { return s.ledger }

// Idle reports that nothing is under way: no request, and no call that is finished
// without its client.
func (s *Service) Idle() bool { return s.router.Held().Holds == 0 && s.left.Running() == 0 }

// Prices are those in force.
func (s *Service) Prices() *billing.PriceBook {
	return s.prices
}

// route builds what decides and what calls.
func (s *Service) route(ctx context.Context) error {
	t := s.cfg.Timeouts
	if err := s.openLocal(ctx); err != nil {
		return err
	}
	var err error
	if s.book, err = openCatalogue(ctx, s.cfg, s.Demo, s.Address); err != nil {
		return err
	}
	s.prices = billing.NewPriceBook(s.book.Prices())
	way, err := proxy(ctx, s.cfg.UpstreamProxy)
	if err != nil {
		return err
	}
	s.client = providers.NewClient(providers.Options{
		Proxy:       way,
		DialTimeout: time.Duration(t.UpstreamDial), TLSTimeout: time.Duration(t.UpstreamTLS),
		HeaderTimeout: time.Duration(cmp.Or(t.UpstreamHeader, t.Request)), FirstTimeout: time.Duration(t.UpstreamFirstContent),
		StreamTimeout: time.Duration(t.UpstreamStreamHeader),
		IdleTimeout:   time.Duration(t.UpstreamIdle), IdleConns: s.cfg.Limits.IdleUpstream,
		UserAgent: "tallyroute/" + s.Version, Slots: s.Tokens.Slots(),
	})
	s.health = health.New(health.Options{Random: rand.Int64N})
	s.metrics.WatchHealth(s.health)
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
		Verifier: s.verifier, Ledger: s.ledger.Ledger, Events: s.ledger, Prices: s.prices,
		Catalogue: s.book, Sender: s.client, Tokens: s.Tokens, Health: s.health, Limits: limit.New(), Slots: s.Tokens.Slots(),
		Observer: observers{s.metrics, logs.Requests{Log: s.Log}}, Idempotency: kept, Fingerprint: prints, Background: s.left,
	}, routerOptions(s.cfg))
	l := s.cfg.Limits // never less than two of the largest bodies
	s.oneKey = max(l.BytesInFlightPerKey, 2*l.MaxBodyBytes)
	s.bytes = limit.NewBytes(s.oneKey, max(l.BytesInFlight, 2*l.MaxBodyBytes))
	s.metrics.WatchHolds(s.router, s.bytes)
	return nil
}

func routerOptions(c *config.Config) router.Options {
	return router.Options{
		AllowMembers: c.Members.Allow, RefuseMembers: c.Members.Refuse == "all",
		MaxAttempts: c.Routing.MaxAttempts, MaxOutput: c.Defaults.MaxOutputTokens,
		RequestTimeout: time.Duration(c.Timeouts.Request), ReadTimeout: time.Duration(c.Timeouts.Read),
		IdempotencyTTL: time.Duration(c.Idempotency.TTL),
		Requests:       chat.Limits{Messages: c.Limits.MaxMessages, Parts: c.Limits.MaxParts},
	}
}

// listen opens the sockets.
func (s *Service) listen(ctx context.Context) error {
	t, l := s.cfg.Timeouts, s.cfg.Limits
	public, err := server.New(server.Options{
		Router: s.router, Ready: s.ready.check, Observe: s.metrics.ObserveHTTP, Log: s.Log, Clock: s.ledger.now,
		TrustedProxies: config.Prefixes(s.cfg.TrustedProxies), KeepAnswers: s.cfg.Idempotency.TTL > 0, Bytes: s.bytes,
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
	s.cutRequests = func() { cut(router.ErrStopping); s.left.Cut() }
	public.BaseContext = func(net.Listener) context.Context { return requests }
	public.Handler = s.metrics.InFlight(public.Handler)
	s.answers = public
	if s.public, err = listen(ctx, "public", s.cfg.Listen, public.Server); err != nil {
		return err
	}
	s.public.net = server.Listener(s.public.net)
	if s.cfg.AdminOff() {
		return nil
	}
	token, err := s.adminToken(ctx)
	if err != nil {
		return err
	}
	zone, err := Zone(s.cfg)
	if err != nil {
		return err
	}
	s.admin, err = listen(ctx, "admin", s.cfg.AdminListen, s.administration(token, zone))
	return err
}

// adminToken is what opens the admin API; "" where it is switched off.
func (s *Service) adminToken(ctx context.Context) (string, error) {
	v, ok, err := credential(ctx, s.cfg.AdminToken)
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
func (s *Service) administration(token string, zone *time.Location) *http.Server {
	return admin.New(admin.Options{
		Actions: s.Actions(),
		Reports: s.ledger,
		Zone:    zone,
		Prices:  s.book.Prices,
		Token:   func() string { return token },
		Hosts:   adminHosts(s.cfg),

		Health:  func() admin.Health { return viewHealth(s.health.Snapshot(time.Now())) },
		Ready:   s.ready.check,
		Metrics: s.metrics.Handler(),
		Version: s.Version,
		BaseURL: "http://" + Reachable(s.public.address()) + "/v1",
		Log:     s.Log,
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

// openLocal opens the sockets of the demonstration's providers, on the loopback alone.
func (s *Service) openLocal(ctx context.Context) error {
	if !s.cfg.Demo {
		return nil
	}
	for _, p := range s.Demo.Providers {
		l, err := listen(ctx, p.Name, "127.0.0.1:0", &http.Server{Handler: p.Handler, ReadHeaderTimeout: 5 * time.Second})
		if err != nil {
			return err
		}
		s.local = append(s.local, l)
	}
	return nil
}

// listeners are all that are open.
func (s *Service) listeners() []*listener {
	return slices.DeleteFunc(append([]*listener{s.public, s.admin}, s.local...), func(l *listener) bool { return l == nil })
}

// tellProviders logs who takes part. A router without any is of little use.
func (s *Service) tellProviders() {
	var taking, missing []string
	for _, p := range s.book.Providers() {
		if p.Configured {
			taking = append(taking, p.Name)
		} else {
			missing = append(missing, p.Name)
		}
	}
	if len(taking) == 0 {
		s.Log.Warn("no provider has its credential; set one, such as OPENAI_API_KEY, or demo: true", zap.Strings("known", missing))
		return
	}
	s.Log.Info("providers", zap.Strings("taking_part", taking), zap.Int("without_credential", len(missing)))
}

// observers tells several.
type observers []router.Observer

// Observe tells each of them.
func (list observers) Observe(r router.Record) {
	for _, o := range list {
		o.Observe(r)
	}
}

var errAdminToken = errors.New("admin_token: not an admin token; make one with: tallyroute admin token")
