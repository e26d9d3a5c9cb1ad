package app

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/logs"
	"tallyroute/providers"
	"tallyroute/providers/catalogue"
	"tallyroute/providers/chat"
	"tallyroute/providers/secret"
	"tallyroute/router"
	"tallyroute/router/admin"
	"tallyroute/router/fingerprint"
	"tallyroute/router/idempotency"
	"tallyroute/router/server"
	"tallyroute/router/web"
)

// snapshot is all that can change while the router runs, made from one reading of
// the configuration. It does not change itself: a reload puts another in its place,
// and requests that are under way end with the one that they began with.
type snapshot struct {
	cfg       *config.Config
	catalogue Catalogue
	prices    *billing.PriceBook
	client    *providers.Client
	made      clientSettings // of client
	router    *router.Router
	token     string // of the admin API; "" where it is switched off
	public    http.Handler
	admin     http.Handler
	files     []string // that all this was read from
}

// clientSettings are those of the client that calls providers.
type clientSettings struct {
	proxy    string
	limits   config.Limits
	timeouts config.Timeouts
}

// build makes a snapshot. What others need to survive it shares with the one before:
// the connections to providers, what is under way, what estimates have learned.
func (s *Service) build(ctx context.Context, cfg *config.Config) (*snapshot, error) {
	n := &snapshot{cfg: cfg}
	var err error
	credentials := &credentialFiles{}
	if n.catalogue, err = openCatalogue(ctx, cfg, s.Demo, s.Address, credentials); err != nil {
		return nil, err
	}
	n.files = append(credentials.all(), cmp.Or(cfg.File, config.DefaultFile), cfg.PricesFile)
	if name, ok := secret.File(string(cfg.AdminToken)); ok {
		n.files = append(n.files, name)
	}
	n.prices = billing.NewPriceBook(n.catalogue.Prices())
	if n.token, err = adminToken(ctx, cfg); err != nil {
		return nil, err
	}
	if err := s.connect(ctx, n); err != nil {
		return nil, err
	}
	s.route(n)
	n.public = server.Handler(s.answers, s.publicOptions(n))
	n.admin = admin.New(s.administration(n)).Handler
	return n, nil
}

// connect gives n the client of the snapshot before, or its own where it has other
// settings.
func (s *Service) connect(ctx context.Context, n *snapshot) error {
	way, text, err := proxy(ctx, n.cfg.UpstreamProxy)
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
		UserAgent: "tallyroute/" + s.Version, Slots: s.Tokens.Slots(),
	})
	return nil
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
		Catalogue: n.catalogue, Sender: n.client, Tokens: s.Tokens, Health: s.health, Limits: s.limits, Slots: s.Tokens.Slots(),
		Observer: observers{s.metrics, logs.Requests{Log: s.Log}, s.refused}, Idempotency: kept, Fingerprint: prints, Background: s.left,
	}
	if old := s.now(); old != nil {
		n.router = old.router.With(parts, routerOptions(n.cfg))
		return
	}
	n.router = router.New(parts, routerOptions(n.cfg))
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

func webLimits(c *config.Config) web.Limits {
	t, l := c.Timeouts, c.Limits
	return web.Limits{
		Body: l.MaxBodyBytes, HeaderBytes: l.MaxHeaderBytes, Connections: l.MaxConnections,
		ReadHeader: time.Duration(t.ReadHeader), ReadBody: time.Duration(t.ReadBody),
		Idle: time.Duration(t.Idle), Write: time.Duration(t.Write),
	}
}

// publicOptions are what the public listener answers with.
func (s *Service) publicOptions(n *snapshot) server.Options {
	return server.Options{
		Router: n.router, Ready: s.check, Observe: s.metrics.ObserveHTTP, Log: s.Log, Clock: s.ledger.now,
		TrustedProxies: config.Prefixes(n.cfg.TrustedProxies), KeepAnswers: n.cfg.Idempotency.TTL > 0, Bytes: s.bytes,
		Origins: n.cfg.CORSOrigins, Handover: s.handOver,
		Limits: server.Limits{Silence: time.Duration(n.cfg.Timeouts.StreamSilence), Limits: webLimits(n.cfg)},
	}
}

// administration is what the admin listener answers with.
func (s *Service) administration(n *snapshot) admin.Options {
	zone, _ := Zone(n.cfg) // which was opened with the database
	return admin.Options{
		Actions: s.Actions(),
		Reports: s.ledger,
		Zone:    zone,
		Prices:  n.catalogue.Prices,
		Token:   func() string { return n.token },
		Hosts:   adminHosts(n.cfg),

		Health:  func() admin.Health { return viewHealth(s.health.Snapshot(time.Now())) },
		Ready:   s.check,
		Metrics: s.metrics.Handler(),
		Version: s.Version,
		BaseURL: "http://" + Reachable(s.public.address()) + "/v1",
		Log:     s.Log,
	}
}

// adminToken is what opens the admin API; "" where it is switched off.
func adminToken(ctx context.Context, cfg *config.Config) (string, error) {
	v, ok, err := credential(ctx, cfg.AdminToken)
	if err != nil {
		return "", fmt.Errorf("admin_token: %w", err)
	}
	if !ok {
		return "", nil
	}
	token, err := billing.ParseSecret(v.Reveal())
	if err != nil || token.Environment() != billing.EnvironmentAdmin {
		return "", errAdminToken
	}
	return token.Reveal(), nil
}

// calls reports whether n may call the target or provider with this name.
func (n *snapshot) calls(name string) bool {
	if strings.Contains(name, "/") {
		_, _, ok := n.catalogue.Resolve(name)
		return ok
	}
	return slices.ContainsFunc(n.catalogue.Providers(), func(p catalogue.Status) bool { return p.Name == name && p.Configured })
}
