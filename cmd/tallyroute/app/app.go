package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"reflect"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/access"
	"tallyroute/billing/ephemeral"
	"tallyroute/billing/journal"
	"tallyroute/billing/lease"
	"tallyroute/billing/policy"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/logs"
	"tallyroute/cmd/tallyroute/metrics"
	"tallyroute/cmd/tallyroute/upstream"
	"tallyroute/providers"
	"tallyroute/providers/secret"
	"tallyroute/providers/secret/envelope"
	"tallyroute/router"
	"tallyroute/router/admin"
	"tallyroute/router/brake"
	"tallyroute/router/federation"
	"tallyroute/router/fingerprint"
	"tallyroute/router/health"
	"tallyroute/router/idempotency"
	"tallyroute/router/kept"
	"tallyroute/router/limit"
	"tallyroute/router/server"
)

// New puts a router together and opens its sockets. Nothing runs yet, and the database may
// be unreachable.
func New(ctx context.Context, cfg *config.Config, o Options) (*Service, error) {
	if settings, tree := cfg.Literals(); tree != "" {
		o.Log.Warn("the configuration holds a password in a git work tree, where it may be committed", zap.Strings("settings", settings),
			zap.String("work_tree", tree))
	}
	s := &Service{Options: o, metrics: metrics.New(o.Version), turns: limit.NewTurns(0), cutRequests: func() {}}
	s.uses = &upstream.Uses{Clock: time.Now}
	s.refused, s.denials = &refusals{clock: time.Now}, billing.NewDenialCount()
	s.brake = brake.New()
	var err error
	if s.secrets, err = openSecrets(cfg, o.Log, s.metrics); err != nil {
		return nil, err
	}
	if s.pepper, err = readPepper(ctx, s.secrets.Keeper, cfg); err != nil {
		return nil, err
	}
	if s.store, err = openStore(ctx, s.secrets.Keeper, cfg, s.metrics.Booked); err != nil {
		return nil, err
	}
	if s.ledger, err = s.openLedger(cfg); err != nil {
		return nil, errors.Join(err, s.store.Close())
	}
	s.temporary = &server.Temporary{Ring: ephemeral.New(s.pepper.Pepper), Allot: s.store.Allot}
	s.verifier = billing.NewVerifier(s.store, s.pepper.Pepper, billing.VerifierOptions{
		Life:     keyLife,
		StaleFor: time.Duration(cfg.OfflineTTL),
		Closed:   true,
	})
	s.exposed = newExposures()
	s.inUse, s.access = billing.NewKeyWatch(), &access.Recorder{}
	s.metrics.WatchAccess(s.access)
	s.ready = newReadiness(s.store, s.ledger.unavailable, func() time.Time { return s.ledger.leased(s.verifier) })
	s.health = health.New(health.Options{Random: rand.Int64N})
	s.metrics.WatchHealth(s.health)
	l := cfg.Limits
	s.left = limit.NewCalls(l.BackgroundCallsPerKey, l.BackgroundCalls)
	s.oneKey = max(l.BytesInFlightPerKey, 2*l.MaxBodyBytes) // never less than two of the largest bodies
	s.bytes = limit.NewBytes(s.oneKey, max(l.BytesInFlight, 2*l.MaxBodyBytes))
	if err := s.listen(ctx, cfg); err != nil {
		return nil, err
	}
	s.metrics.WatchHolds(s.now().router, s.bytes)
	return s, nil
}

// listen opens the sockets and makes the handlers that answer on them.
func (s *Service) listen(ctx context.Context, cfg *config.Config) error {
	err := s.openLocal(ctx, cfg)
	if err != nil {
		return err
	}
	// Requests outlive the stop signal: they finish by themselves or are cut off.
	requests, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	s.cutRequests = func() { cut(router.ErrStopping); s.left.Cut() }
	s.answers = server.Bare(webLimits(cfg), s.Log)
	s.answers.BaseContext = func(net.Listener) context.Context { return requests }
	s.answers.Strict = time.Duration(cfg.TLS.HSTS)
	s.answers.Handle(s.metrics.InFlight(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.now().public.ServeHTTP(w, r)
	})))
	if s.certs, err = openCertificates(cfg); err != nil {
		return err
	}
	for _, name := range s.certs.open() {
		s.Log.Warn("everybody on this host may read the key of a certificate: run chmod o-rwx", zap.String("file", name))
	}
	s.metrics.WatchCertificates(s.certs.states)
	if s.public, err = listen(ctx, "public", cfg.Listen, s.answers.Server); err != nil {
		return err
	}
	if s.certs.public == nil {
		s.public.net = server.Listener(s.public.net)
	}
	s.public.encrypt(s.certs.public, s.inClear)
	first, err := s.build(ctx, cfg)
	if err != nil {
		return err
	}
	s.current.Store(first)
	if err := s.openLeaks(ctx, cfg); err != nil || cfg.AdminOff() {
		return err
	}
	administration := admin.New(s.administration(first))
	administration.Strict = time.Duration(cfg.TLS.HSTS)
	administration.Handle(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.now().admin.ServeHTTP(w, r)
	}))
	if s.admin, err = listen(ctx, "admin", cfg.AdminListen, administration.Server); err == nil {
		s.admin.encrypt(s.certs.admin, nil)
	}
	return err
}

// openLocal opens the sockets of the demonstration's providers, on the loopback interface
// only.
func (s *Service) openLocal(ctx context.Context, cfg *config.Config) error {
	if !cfg.Demo {
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

// tellProviders logs which providers take part, and warns if none does.
func (s *Service) tellProviders() {
	var taking, missing []string
	for _, p := range s.now().catalogue.Providers() {
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

// openLedger opens the journal and takes over what an earlier process left in it.
func (s *Service) openLedger(cfg *config.Config) (*ledger, error) {
	if cfg.Journal == journalOff {
		return &ledger{Ledger: s.store, store: s.store}, nil
	}
	dir, log, err := openJournal(cfg)
	if err != nil {
		return nil, fmt.Errorf("journal: %w; name another directory, or set journal: off to hold in the database", err)
	}
	zone, err := Zone(cfg)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	host, _ := os.Hostname()
	b := &ledger{store: s.store, dir: dir, log: log, confirmed: make(chan struct{})}
	fast, err := lease.Open(s.store, log, lease.Options{
		Replica: log.ID(), Name: fmt.Sprintf("%s/%d", host, os.Getpid()), Zone: zone, TTL: time.Duration(cfg.OfflineTTL),
		Room: cfg.JournalMaxBytes / 8 * 7, Overrun: overrunLimit(cfg.Overrun),
		Recovered: s.metrics.Booked,
		Report: func(err error) {
			s.Log.Warn("ledger", zap.Error(err))
			if errors.Is(err, journal.ErrLost) {
				b.sign()
			}
		},
	})
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	if left, _ := fast.Backlog(); left > 0 {
		s.Log.Info("taking up what an earlier process left in the journal", zap.Int("requests", left))
	}
	b.Ledger, b.fast = fast, fast
	s.metrics.WatchLedger(fast, log)
	return b, nil
}

// build makes a snapshot. It shares with its predecessor what has to survive a reload: the
// connections to providers, the requests in flight and what the estimates have learned.
func (s *Service) build(ctx context.Context, cfg *config.Config) (*snapshot, error) {
	n := &snapshot{cfg: cfg}
	var err error
	credentials := &credentialFiles{from: s.secrets.Keeper, host: s.secrets.host}
	if n.catalogue, n.broken, err = openCatalogue(ctx, cfg, s.Demo, s.Address, credentials, s.stored.Load()); err != nil {
		return nil, err
	}
	n.files = append(credentials.all(), cmp.Or(cfg.File, config.DefaultFile), cfg.PricesFile)
	for _, ref := range []config.SecretRef{cfg.AdminToken, cfg.Secrets.Key, cfg.Secrets.Previous} {
		if name, ok := secret.File(string(ref)); ok {
			n.files = append(n.files, name)
		}
	}
	if err := s.login(ctx, n); err != nil {
		return nil, err
	}
	n.prices = billing.NewPriceBook(n.catalogue.Prices())
	if n.token, err = adminToken(ctx, s.secrets.Keeper, cfg); err != nil {
		return nil, err
	}
	if n.sinks, err = sinks(ctx, s.secrets.Keeper, cfg); err != nil {
		return nil, err
	}
	if n.forwarders, err = forwarders(ctx, s.secrets.Keeper, cfg); err != nil {
		return nil, err
	}
	if n.auditKey, err = auditKey(ctx, s.secrets.Keeper, cfg); err != nil {
		return nil, err
	}
	if n.notifiers, err = notifiers(ctx, s.secrets.Keeper, cfg); err != nil {
		return nil, err
	}
	if err := s.connect(ctx, n); err != nil {
		return nil, err
	}
	n.keys = s.ring(ctx, cfg)
	s.identify(n)
	s.route(n)
	administration := s.administration(n)
	n.public = server.Handler(s.answers, s.publicOptions(n, administration))
	n.admin = admin.Handler(administration)
	return n, nil
}

// connect gives n the client of the previous snapshot, or a new one if its settings differ.
func (s *Service) connect(ctx context.Context, n *snapshot) error {
	way, text, err := proxy(ctx, s.secrets.Keeper, n.cfg.UpstreamProxy)
	if err != nil {
		return err
	}
	n.made = clientSettings{text, n.cfg.Limits, n.cfg.Timeouts}
	if old := s.now(); old != nil && old.made == n.made {
		n.client = old.client
		return nil
	}
	t := n.cfg.Timeouts
	n.client = providers.NewClient(providers.Options{
		Proxy:       way,
		DialTimeout: time.Duration(t.UpstreamDial), TLSTimeout: time.Duration(t.UpstreamTLS),
		HeaderTimeout: time.Duration(cmp.Or(t.UpstreamHeader, t.Request)), FirstTimeout: time.Duration(t.UpstreamFirstContent),
		StreamTimeout: time.Duration(t.UpstreamStreamHeader),
		IdleTimeout:   time.Duration(t.UpstreamIdle), IdleConns: n.cfg.Limits.IdleUpstream,
		UserAgent: "tallyroute/" + s.Version,
	})
	return nil
}

// identify gives n the issuers whose tokens are accepted in place of keys. If none of them
// has changed, what is already known about them is kept.
func (s *Service) identify(n *snapshot) {
	if old := s.now(); old != nil && reflect.DeepEqual(old.cfg.IdentityIssuers, n.cfg.IdentityIssuers) {
		n.platforms = old.platforms
		return
	}
	var issuers []federation.Issuer
	for _, i := range n.cfg.IdentityIssuers {
		made := federation.Issuer{URL: i.Issuer, Audience: i.Audience, JWKS: i.JWKSURL}
		for _, k := range i.Keys {
			when, _ := policy.CompileClaims(k.When) // the configuration was checked
			made.Bindings = append(made.Bindings, federation.Binding{
				Key: billing.KeyID(k.Key), When: when, Life: time.Duration(k.ExpiresIn), Direct: k.Direct,
			})
		}
		issuers = append(issuers, made)
	}
	if len(issuers) > 0 {
		n.platforms = federation.New(issuers, &http.Client{Timeout: 10 * time.Second})
	}
}

// route gives n its router.
func (s *Service) route(n *snapshot) {
	var kept idempotency.Store
	if n.cfg.Idempotency.TTL > 0 {
		kept = s.store
	}
	var prints router.Fingerprint
	if n.cfg.Fingerprints {
		prints = fingerprint.New(s.pepper.Derive("tallyroute fingerprint"))
	}
	parts := router.Parts{
		Verifier: s.verifier, Watch: s.inUse, Ledger: s.ledger.Ledger, Events: s.ledger, Prices: n.prices,
		Catalogue: n.catalogue, Sender: n.client, Counts: n.client, Tokens: s.Tokens, Health: s.health, Turns: s.turns,
		Observer: observers{s.metrics, logs.Requests{Log: s.Log}, s.refused, s.uses}, Idempotency: kept, Fingerprint: prints,
		Background: s.left,
		Denials:    s.denials, Brake: s.brake, Allotments: s.store,
	}
	if old := s.now(); old != nil {
		n.router = old.router.With(parts, routerOptions(n.cfg))
		return
	}
	n.router = router.New(parts, routerOptions(n.cfg))
}

// publicOptions returns the options of the public listener.
func (s *Service) publicOptions(n *snapshot, administration admin.Options) server.Options {
	var record *access.Recorder
	if n.cfg.AccessKeep > 0 {
		record = s.access
	}
	return server.Options{
		Access: record,
		Router: n.router, Ready: s.check, Observe: s.metrics.ObserveHTTP, Log: s.Log, Clock: s.ledger.now,
		TrustedProxies: config.Prefixes(n.cfg.TrustedProxies), KeepAnswers: n.cfg.Idempotency.TTL > 0, Bytes: s.bytes,
		AllowedNetworks: config.Prefixes(n.cfg.AllowedNetworks), BlockedNetworks: config.Prefixes(n.cfg.BlockedNetworks),
		RequireTLS: n.cfg.RequireTLS, Exposed: s.exposed.add,
		Origins: n.cfg.CORSOrigins, Handover: s.handOver, Asks: administration.Actions.Asks,
		Temporary: s.temporary.With(n.platforms), Responses: s.shelf(n),
		SelfService: admin.SelfService(administration),
		Limits:      server.Limits{Silence: time.Duration(n.cfg.Timeouts.StreamSilence), Limits: webLimits(n.cfg)},
	}
}

// shelf returns where responses are kept; nil keeps none.
func (s *Service) shelf(n *snapshot) *kept.Shelf {
	cfg := n.cfg
	if cfg.Responses.Keep == 0 {
		return nil
	}
	c, keys := cfg.Responses, n.keys
	if cfg.Secrets.Key == "" {
		keys = envelope.NewRing(responseKey(s.pepper.Pepper))
	}
	return &kept.Shelf{
		Store: s.store, Ring: keys, Life: time.Duration(c.Keep),
		Bounds: billing.ResponseBounds{Responses: c.PerKey, KeyBytes: c.BytesPerKey, Bytes: c.MaxBytes}, Clock: s.ledger.now,
	}
}

// administration returns the options of the admin listener.
func (s *Service) administration(n *snapshot) admin.Options {
	zone, _ := Zone(n.cfg) // already validated when the database was opened
	actions := s.Actions()
	n.equip(&actions)
	actions.Roles, actions.SessionIdle = Roles(n.cfg), time.Duration(n.cfg.Login.Idle)
	return admin.Options{
		Actions: actions,
		Reports: s.ledger,
		Zone:    zone,
		Prices:  n.catalogue.Prices,
		Token:   func() string { return n.token },
		Exposed: s.exposed.add,
		Hosts:   adminHosts(n.cfg),

		Certified: n.cfg.CertifiedPrincipals(),
		Login:     n.people,

		Health:  func() admin.Health { return viewHealth(s.health.Snapshot(time.Now())) },
		Ready:   s.check,
		Metrics: s.metrics.Handler(),
		Version: s.Version,
		BaseURL: scheme(n.cfg.TLS.CertFile) + Reachable(s.public.address()) + "/v1",
		Log:     s.Log,

		RequireTLS: n.cfg.RequireTLS, TrustedProxies: config.Prefixes(n.cfg.TrustedProxies),
	}
}
