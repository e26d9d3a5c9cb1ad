package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/access"
	"tallyroute/billing/manage"
	"tallyroute/billing/policy"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/metrics"
	"tallyroute/cmd/tallyroute/upstream"
	"tallyroute/providers"
	"tallyroute/providers/catalogue"
	"tallyroute/providers/secret"
	"tallyroute/providers/secret/envelope"
	"tallyroute/providers/secret/manager"
	"tallyroute/router/brake"
	"tallyroute/router/health"
	"tallyroute/router/limit"
	"tallyroute/router/server"
	"tallyroute/router/tokens"
	"tallyroute/router/web"
)

// Stored returns what administrators have stored, as far as the keys named in the
// configuration can open it.
func Stored(ctx context.Context, c *config.Config, store billing.Store) (*upstream.Loaded, error) {
	from, err := once(c)
	if err != nil {
		return nil, err
	}
	return stored(ctx, from, c, store)
}

func stored(ctx context.Context, from *manager.Keeper, c *config.Config, store billing.Store) (*upstream.Loaded, error) {
	keys, err := ring(ctx, from, c, billing.Pepper{})
	if err != nil {
		keys = envelope.NewRing()
	}
	return upstream.Load(ctx, store, keys, nil, time.Now())
}

// Desk returns the desk at which administrators manage providers, for use on the host.
func Desk(c *config.Config, store billing.Store, demo Local, p billing.Pepper) (*upstream.Desk, error) {
	from, err := once(c)
	if err != nil {
		return nil, err
	}
	return &upstream.Desk{
		Store: store, Clock: time.Now,
		Ring: func(ctx context.Context) (*envelope.Ring, error) { return ring(ctx, from, c, p) },
		Input: func(ctx context.Context) (catalogue.Input, catalogue.Options, error) {
			return catalogueParts(ctx, c, demo, nowhere, &credentialFiles{from: from})
		},
		Client: func(ctx context.Context) (*providers.Client, error) {
			way, _, err := proxy(ctx, from, c.UpstreamProxy)
			return providers.NewClient(providers.Options{Proxy: way}), err
		},
	}, nil
}

// Service is a router with everything that it needs. What a reload can change is in the
// snapshot; everything else stays as it was at the start.
type Service struct {
	Options
	current  atomic.Pointer[snapshot]
	changing sync.Mutex                      // held while the snapshot is being replaced
	stored   atomic.Pointer[upstream.Loaded] // nil until it has been read
	reloaded atomic.Pointer[reloaded]        // how the last reload went; nil before the first
	metrics  *metrics.Metrics
	store    billing.Store
	ledger   *ledger // sits in front of the store
	pepper   Pepper
	secrets  *secrets
	certs    certificates
	exposed  *exposures
	ready    *readiness
	verifier *billing.Verifier
	refused  *refusals
	uses     *upstream.Uses // of credentials
	denials  *billing.DenialCount
	brake    *brake.Brake // shared by all snapshots, so that a reload frees nobody
	inUse    *billing.KeyWatch
	access   *access.Recorder
	bytes    *limit.Bytes // held by requests in flight
	oneKey   int64        // limit for the requests of one key
	left     *limit.Calls // calls being finished without their clients
	turns    *limit.Turns // slots per key for heavy work
	health   *health.Tracker

	temporary *server.Temporary

	public      *listener
	answers     *web.Server // of the public listener
	admin       *listener   // nil where it is off
	leaks       *listener   // likewise
	local       []*listener // of the demonstration's providers
	cutRequests func()      // ends requests in flight, with router.ErrStopping as the cause
}

// Options are given to a Service in addition to its configuration.
type Options struct {
	Log     *zap.Logger
	Level   zap.AtomicLevel // of Log
	Tokens  *tokens.Counter
	Demo    Local            // for demo: true
	Version string           // of the program
	From    *Source          // reread when it changes; nil rereads nothing
	Hangup  <-chan os.Signal // triggers an immediate reread
}

// now returns what is in force. Whoever does several things with it calls it once.
func (s *Service) now() *snapshot { return s.current.Load() }

// Address returns where the listener with this name can be reached: "public", "admin" or
// one of the demonstration's providers. It is "" if there is no such listener.
func (s *Service) Address(name string) string {
	for _, l := range s.listeners() {
		if l.name == name {
			return Reachable(l.address())
		}
	}
	return ""
}

// Actions returns what operators can do.
func (s *Service) Actions() manage.Actions {
	store := s.store.ForOperators()
	actions := manage.Actions{
		Late:  manage.Late,
		Store: store.With(managed{store, s.ledger.Balances}), Pepper: s.pepper.Pepper, KnownModel: s.knownModel,
		Groups: s.groups, Upstreams: s.desk(),
	}
	if now := s.now(); now != nil {
		now.equip(&actions)
	}
	return actions
}

// desk returns the desk at which administrators manage the providers of a running router.
func (s *Service) desk() *upstream.Desk {
	return &upstream.Desk{
		Store: s.store, Clock: time.Now,
		Ring: func(ctx context.Context) (*envelope.Ring, error) {
			return ring(ctx, s.secrets.Keeper, s.now().cfg, s.pepper.Pepper)
		},
		Input: func(ctx context.Context) (catalogue.Input, catalogue.Options, error) {
			return catalogueParts(ctx, s.now().cfg, s.Demo, s.Address, &credentialFiles{from: s.secrets.Keeper, host: s.secrets.host})
		},
		Client: func(context.Context) (*providers.Client, error) { return s.now().client, nil },
	}
}

// Reports returns reports on the ledger that include everything settled.
func (s *Service) Reports() billing.Reports { return s.ledger }

// Idle reports that nothing is in flight: no request, and no call being finished without
// its client.
func (s *Service) Idle() bool { return s.now().router.Held().Holds == 0 && s.left.Running() == 0 }

// Prices returns the prices in force.
func (s *Service) Prices() *billing.PriceBook {
	return s.now().prices
}

func (s *Service) groups() policy.Groups { return s.now().cfg.Groups() }

func (s *Service) knownModel(name string) (nearest string, known bool) {
	return s.now().catalogue.known(name)
}

// managed is the database with the balances known to a running router.
type managed struct {
	billing.Store
	balances func(context.Context, *billing.Key, time.Time) ([]billing.Balance, error)
}

// Balances implements billing.Ledger.
func (m managed) Balances(ctx context.Context, k *billing.Key, now time.Time) ([]billing.Balance, error) {
	return m.balances(ctx, k, now)
}

// listeners returns all open listeners.
func (s *Service) listeners() []*listener {
	return slices.DeleteFunc(append([]*listener{s.public, s.admin, s.leaks}, s.local...), func(l *listener) bool { return l == nil })
}

// check returns what a probe may read: how requests can be answered, and how the last
// reload went. A rejected reload takes no router out of service.
func (s *Service) check(ctx context.Context) (map[string]string, error) {
	state, err := s.ready.check(ctx)
	if err != nil {
		return state, err
	}
	if text := s.secrets.stale(); text != "" {
		state["secrets"] = text
	}
	if text := s.certs.stale(); text != "" {
		state["tls"] = text
	}
	r := s.reloaded.Load()
	if r == nil {
		return state, nil
	}
	switch {
	case r.err != nil:
		state["config"] = "rejected: " + reason(r.err)
	case len(r.restart) > 0:
		state["config"] = "reloaded; these take effect at the next start: " + strings.Join(r.restart, ", ")
	default:
		state["config"] = "reloaded"
	}
	state["config_read_at"] = r.at.UTC().Format(time.RFC3339)
	return state, nil
}

// WithStored returns the catalogue including what administrators have stored, for a single
// use.
func WithStored(ctx context.Context, c *config.Config, demo Local) (Catalogue, error) {
	if _, missing := c.Database.Missing(); missing {
		return Catalogue{}, billing.ErrUnavailable
	}
	store, err := OpenStore(ctx, c)
	if err != nil {
		return Catalogue{}, err
	}
	defer func() { _ = store.Close() }()
	from, err := once(c)
	if err != nil {
		return Catalogue{}, err
	}
	loaded, err := stored(ctx, from, c, store)
	if err != nil {
		return Catalogue{}, err
	}
	made, _, err := openCatalogue(ctx, c, demo, nowhere, &credentialFiles{from: from}, loaded)
	return made, err
}

// SecretsReport is the result of checking all the secrets of a configuration.
type SecretsReport struct {
	Read    int
	Missing map[string]error // by setting
	Wide    []string         // permissions of managers' logins beyond what they need
	Unclear []string         // why those of a manager's login are unknown
	Pepper  error            // nil if it is the database's, or if none has been created yet
}

// CheckSecrets reads every secret that a configuration refers to, once.
func CheckSecrets(ctx context.Context, c *config.Config, providers Catalogue) (SecretsReport, error) {
	report := SecretsReport{Missing: make(map[string]error)}
	from, err := once(c)
	if err != nil {
		return report, err
	}
	uses := make(map[string]manager.Use) // by scheme
	used := func(ref string) {
		if kept, ok := secret.Managed(ref); ok {
			use := uses[kept.Scheme]
			use.Names = append(use.Names, kept.Name)
			uses[kept.Scheme] = use
		}
	}
	for setting, ref := range c.References() {
		if _, err := from.Resolve(ctx, ref); err != nil {
			report.Missing[setting] = err
			continue
		}
		report.Read++
		used(ref)
	}
	if providers.Catalogue != nil {
		for _, p := range providers.Providers() {
			for _, ref := range p.References {
				if p.Configured {
					used(ref)
				}
			}
		}
	}
	for _, text := range c.Sinks {
		if s, ok := config.ParseSink(text); ok {
			use := uses[s.Kind]
			use.Places = append(use.Places, s.At)
			uses[s.Kind] = use
		}
	}
	for _, scheme := range slices.Sorted(maps.Keys(uses)) {
		m, _ := from.Manager(scheme)
		r, ok := m.(manager.Reacher)
		if !ok || len(uses[scheme].Names) == 0 {
			continue
		}
		wide, err := r.Reach(ctx, uses[scheme])
		if err != nil {
			report.Unclear = append(report.Unclear, err.Error())
		}
		for _, one := range wide {
			report.Wide = append(report.Wide, scheme+": "+one)
		}
	}
	report.Pepper = pepperFits(ctx, from, c)
	return report, nil
}

// pepperFits compares the pepper with the database's, and creates neither.
func pepperFits(ctx context.Context, from *manager.Keeper, c *config.Config) error {
	if _, missing := c.Database.Missing(); missing {
		return checkPepper(ctx, from, c)
	}
	if c.KeyPepper == "" {
		if _, err := os.Stat(pepperFile(c)); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("key_pepper: there is no %s, beside a database that is there", pepperFile(c))
		}
	}
	p, err := readPepper(ctx, from, c)
	if err != nil {
		return err
	}
	store, err := openStore(ctx, from, c, nil)
	if err != nil {
		return nil // the database check reports this
	}
	defer func() { _ = store.Close() }()
	if keys, _, err := (manage.Actions{Store: store}).Keys(ctx, billing.KeyFilter{}); err != nil || len(keys) == 0 {
		return nil // the database may not remember any pepper yet, and must not start to just because we ask
	}
	if id, err := store.Setting(ctx, pepperSetting, p.ID()); err == nil && id != p.ID() {
		return &wrongPepperError{p.where}
	}
	return nil
}

// ring returns the keys that encrypt what is stored. A key that can't be read at the moment
// opens nothing.
func (s *Service) ring(ctx context.Context, c *config.Config) *envelope.Ring {
	keys, err := ring(ctx, s.secrets.Keeper, c, s.pepper.Pepper)
	if err != nil {
		s.Log.Error("what is stored encrypted cannot be opened", zap.Error(err))
		keys = envelope.NewRing()
	}
	return keys
}
