package app

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/metrics"
	"tallyroute/router"
	"tallyroute/router/admin"
	"tallyroute/router/health"
	"tallyroute/router/limit"
	"tallyroute/router/server"
	"tallyroute/router/tokens"
	"tallyroute/router/web"
)

// Service is a router with everything that it stands on. What a reload changes is
// in the snapshot; all else stays as it was at the start.
type Service struct {
	Options
	current  atomic.Pointer[snapshot]
	reloaded atomic.Pointer[reloaded] // how the last reload went; nil before the first
	metrics  *metrics.Metrics
	store    billing.Store
	ledger   *ledger // before the store
	pepper   Pepper
	ready    *readiness
	verifier *billing.Verifier
	refused  *refusals
	inUse    *billing.KeyWatch
	bytes    *limit.Bytes // that requests under way hold
	oneKey   int64        // that those of one key may hold
	left     *limit.Calls // that are finished without their clients
	limits   *limit.Store // of requests and tokens per minute
	health   *health.Tracker

	public      *listener
	answers     *web.Server // of the public listener
	admin       *listener   // nil where it is off
	local       []*listener // of the demonstration's providers
	cutRequests func()      // ends what is under way, with router.ErrStopping as the cause
}

// Options are what a Service is given besides its configuration.
type Options struct {
	Log     *zap.Logger
	Level   zap.AtomicLevel // of Log
	Tokens  *tokens.Counter
	Demo    Local            // for demo: true
	Version string           // of the program
	From    *Source          // what is read again when it changes; nil is nothing
	Hangup  <-chan os.Signal // when it is read again at once
}

// New puts a router together and opens its sockets. Nothing runs yet, and the
// database may be away.
func New(ctx context.Context, cfg *config.Config, o Options) (*Service, error) {
	s := &Service{Options: o, metrics: metrics.New(o.Version), limits: limit.New(), cutRequests: func() {}}
	s.refused = &refusals{clock: time.Now}
	var err error
	if s.pepper, err = ReadPepper(ctx, cfg); err != nil {
		return nil, err
	}
	if s.store, err = openStore(ctx, cfg, s.metrics.Booked); err != nil {
		return nil, err
	}
	if s.ledger, err = s.openLedger(cfg); err != nil {
		return nil, errors.Join(err, s.store.Close())
	}
	s.verifier = billing.NewVerifier(s.store, s.pepper.Pepper, billing.VerifierOptions{
		StaleFor: time.Duration(cfg.OfflineTTL),
		Closed:   true,
	})
	s.inUse = billing.NewKeyWatch()
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

// now is what is in force. Whoever does several things with it asks once.
func (s *Service) now() *snapshot { return s.current.Load() }

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
	return manage.Actions{Store: s.store.With(managed{s.store, s.ledger.Balances}), Pepper: s.pepper.Pepper, KnownModel: s.knownModel}
}

// Reports read the ledger, with all that is settled.
func (s *Service) Reports() billing.Reports { return s.ledger }

// Idle reports that nothing is under way: no request, and no call that is finished
// without its client.
func (s *Service) Idle() bool { return s.now().router.Held().Holds == 0 && s.left.Running() == 0 }

// Prices are those in force.
func (s *Service) Prices() *billing.PriceBook {
	return s.now().prices
}

func (s *Service) knownModel(name string) (nearest string, known bool) {
	return s.now().catalogue.known(name)
}

// listen opens the sockets, and makes what answers at them.
func (s *Service) listen(ctx context.Context, cfg *config.Config) error {
	err := s.openLocal(ctx, cfg)
	if err != nil {
		return err
	}
	// Requests outlive the signal to stop; they end by themselves or are cut.
	requests, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	s.cutRequests = func() { cut(router.ErrStopping); s.left.Cut() }
	s.answers = server.Bare(webLimits(cfg), s.Log)
	s.answers.BaseContext = func(net.Listener) context.Context { return requests }
	s.answers.Handler = s.metrics.InFlight(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.now().public.ServeHTTP(w, r)
	}))
	if s.public, err = listen(ctx, "public", cfg.Listen, s.answers.Server); err != nil {
		return err
	}
	s.public.net = server.Listener(s.public.net)
	first, err := s.build(ctx, cfg)
	if err != nil {
		return err
	}
	s.current.Store(first)
	if cfg.AdminOff() {
		return nil
	}
	administration := admin.New(s.administration(first))
	administration.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.now().admin.ServeHTTP(w, r)
	})
	s.admin, err = listen(ctx, "admin", cfg.AdminListen, administration)
	return err
}

// managed is the database with the balances that a running router knows of.
type managed struct {
	billing.Store
	balances func(context.Context, *billing.Key, time.Time) ([]billing.Balance, error)
}

// Balances implements billing.Ledger.
func (m managed) Balances(ctx context.Context, k *billing.Key, now time.Time) ([]billing.Balance, error) {
	return m.balances(ctx, k, now)
}

// openLocal opens the sockets of the demonstration's providers, on the loopback alone.
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

// listeners are all that are open.
func (s *Service) listeners() []*listener {
	return slices.DeleteFunc(append([]*listener{s.public, s.admin}, s.local...), func(l *listener) bool { return l == nil })
}

// tellProviders logs who takes part. A router without any is of little use.
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

// observers tells several.
type observers []router.Observer

// Observe tells each of them.
func (list observers) Observe(r router.Record) {
	for _, o := range list {
		o.Observe(r)
	}
}

var errAdminToken = errors.New("admin_token: not an admin token; make one with: tallyroute admin token")
