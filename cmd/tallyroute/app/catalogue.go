package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/governance"
	"tallyroute/billing/policy"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/upstream"
	"tallyroute/providers"
	"tallyroute/providers/catalogue"
	"tallyroute/providers/identity"
	"tallyroute/providers/secret"
	"tallyroute/providers/secret/manager"
	"tallyroute/router"
)

// Catalogue is the catalogue as the router wants it.
type Catalogue struct{ *catalogue.Catalogue }

var _ router.Catalogue = Catalogue{}

// known reports whether a key may be limited to name, and if not, what is near.
// A pattern such as groq/* is known where the provider is.
func (c Catalogue) known(name string) (nearest string, known bool) {
	if provider, ok := strings.CutSuffix(name, "/*"); ok {
		for _, p := range c.Providers() {
			if p.Name == provider {
				return "", true
			}
		}
	}
	if _, _, ok := c.Resolve(name); ok {
		return "", true
	}
	if strings.Contains(name, "*") {
		return "", slices.ContainsFunc(c.Catalogue.Models(), func(m providers.Listing) bool {
			return policy.Match(name, m.ID) ||
				slices.ContainsFunc(m.Providers, func(p string) bool { return policy.Match(name, p+"/"+m.ID) })
		})
	}
	return c.Nearest(name, func(string) bool { return true }), false
}

// KnownModel reports what a key may be limited to, by the whole catalogue: who makes
// keys need not have the credentials of providers. The demonstration's models are known
// as well, since its router may be the one that runs. It is nil, which knows everything,
// where the catalogue cannot be read.
func KnownModel(ctx context.Context, c *config.Config, demo Local) func(name string) (nearest string, known bool) {
	in, err := CatalogueInput(c)
	if err != nil {
		return nil
	}
	plain := in.Documents
	for _, p := range demo.Providers {
		in.Documents = append(in.Documents, p.Document("127.0.0.1:1"))
	}
	whole, err := catalogue.Build(ctx, in, catalogue.Options{Whole: true})
	if err != nil { // the configuration may have providers of these names
		in.Documents = plain
		whole, err = catalogue.Build(ctx, in, catalogue.Options{Whole: true})
	}
	if err != nil {
		return nil
	}
	return func(name string) (string, bool) {
		if name == "auto" {
			return "", true
		}
		return Catalogue{whole}.known(name)
	}
}

// Source is where a configuration comes from.
type Source struct {
	File string   // "" is ./tallyroute.yaml, where there is one
	Env  []string // that is laid over it
	Demo Local    // the demonstration's providers, for demo: true

	secrets *manager.Keeper // of the router that reads it again; nil is one for this time
}

// keeper is what reads the secrets of a configuration.
func (s Source) keeper(c *config.Config) (*manager.Keeper, error) {
	if s.secrets != nil {
		return s.secrets, nil
	}
	return once(c)
}

// Load reads the configuration and the catalogue that it leads to, and reports
// every fault of both.
func Load(ctx context.Context, from Source) (*config.Config, Catalogue, error) {
	return load(ctx, from, &credentialFiles{})
}

// LoadService is Load for a router that is to run: it refuses all that New refuses,
// too, but for what depends on who else is running.
func LoadService(ctx context.Context, from Source) (*config.Config, Catalogue, error) {
	credentials := &credentialFiles{}
	cfg, c, err := load(ctx, from, credentials)
	var faults config.Faults
	if err != nil && !errors.As(err, &faults) {
		return nil, Catalogue{}, err
	}
	faults = append(faults, credentials.ours()...)
	source := config.Environment
	if cfg.File != "" {
		source = cfg.Source()
	}
	_, tokenErr := adminToken(ctx, credentials.from, cfg)
	_, ringErr := ring(ctx, credentials.from, cfg)
	_, channelErr := notifiers(ctx, credentials.from, cfg)
	for _, err := range []error{
		tokenErr, channelErr, ringErr, checkPepper(ctx, credentials.from, cfg), checkStore(ctx, credentials.from, cfg),
		checkCertificates(cfg),
	} {
		for _, line := range strings.FieldsFunc(errorText(err), func(r rune) bool { return r == '\n' }) {
			setting, problem, _ := strings.Cut(line, ": ")
			if !slices.ContainsFunc(faults, func(f config.Fault) bool { return f.Path == setting }) { // which the reader has found
				faults = append(faults, config.Fault{Source: source, Path: setting, Problem: problem})
			}
		}
	}
	return cfg, c, faults.Err()
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func load(ctx context.Context, from Source, credentials *credentialFiles) (*config.Config, Catalogue, error) {
	cfg, err := config.Read(from.File, from.Env)
	var faults config.Faults
	if err != nil && !errors.As(err, &faults) {
		return nil, Catalogue{}, err
	}
	if credentials.from, err = from.keeper(cfg); err != nil {
		return nil, Catalogue{}, err
	}
	c, _, err := openCatalogue(ctx, cfg, from.Demo, nowhere, credentials, nil)
	var wrong catalogue.Faults
	if errors.As(err, &wrong) {
		for _, f := range wrong {
			faults = append(faults, config.Fault{Source: f.File, Line: f.Line, Path: f.Path, Problem: f.Problem})
		}
		err = nil
	}
	if err == nil {
		err = faults.Err()
	}
	return cfg, c, err
}

// nowhere is the address of the demonstration's providers where they do not run.
func nowhere(string) string { return "127.0.0.1:1" }

// Local are providers that answer in this process.
type Local struct {
	Providers []LocalProvider
	Auto      string // the model that "auto" stands for where no other is there
}

// LocalProvider is one of them. Document describes it to the catalogue, at the
// address that it has got.
type LocalProvider struct {
	Name     string
	Handler  http.Handler
	Document func(address string) string
}

// openCatalogue builds what the configuration says, with the demonstration's
// providers where it asks for them, and what administrators have stored; nil is nothing.
func openCatalogue(ctx context.Context, c *config.Config, demo Local, address func(name string) string,
	files *credentialFiles, stored *upstream.Loaded,
) (Catalogue, map[string]error, error) {
	in, o, err := catalogueParts(ctx, c, demo, address, files)
	if err != nil {
		return Catalogue{}, nil, err
	}
	b, broken, err := stored.Build(ctx, in, o)
	files.close()
	return Catalogue{b}, broken, err
}

// catalogueParts are what the catalogue is built of.
func catalogueParts(ctx context.Context, c *config.Config, demo Local, address func(name string) string, files *credentialFiles) (
	in catalogue.Input, o catalogue.Options, err error,
) {
	if in, err = CatalogueInput(c); err != nil {
		return in, o, err
	}
	if c.Demo {
		in.Auto = demo.Auto
		for _, p := range demo.Providers {
			in.Documents = append(in.Documents, p.Document(address(p.Name)))
		}
	}
	way, _, err := proxy(ctx, files.from, c.UpstreamProxy)
	return in, catalogue.Options{Proxy: way, Secrets: files.resolve, Host: files.host}, err
}

// credentialFiles resolves references to credentials, and notes until it is closed
// which files they name. Those that are not there count, too: one that appears brings
// a provider.
type credentialFiles struct {
	from   *manager.Keeper
	host   *identity.Host // nil is found out anew
	closed atomic.Bool
	mu     sync.Mutex
	names  []string
	own    []string // references that lead to a key of a router
}

func (f *credentialFiles) resolve(ctx context.Context, ref string) (secret.Value, error) {
	if name, ok := secret.File(ref); ok && !f.closed.Load() {
		f.mu.Lock()
		f.names = append(f.names, name)
		f.mu.Unlock()
	}
	v, err := f.from.Resolve(ctx, ref)
	if err != nil {
		return v, err
	}
	if _, none := billing.ParseSecret(v.Reveal()); none == nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.own = append(f.own, ref)
		return secret.Value{}, errOwnKey
	}
	return v, nil
}

// errOwnKey is a key that clients of a router use, where a provider's belongs.
var errOwnKey = errors.New("holds a key of Tallyroute, where the provider's own belongs")

// ours are the faults of references that lead to keys of a router. The same variable
// holds the provider's key for the router, and the router's for an application.
func (f *credentialFiles) ours() (faults config.Faults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.Sort(f.own)
	for _, ref := range slices.Compact(f.own) {
		faults = append(faults, config.Fault{Source: config.Environment, Path: strings.TrimPrefix(ref, "env:"), Problem: errOwnKey.Error()})
	}
	return faults
}

func (f *credentialFiles) close() { f.closed.Store(true) }

func (f *credentialFiles) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.Sort(f.names)
	return slices.Compact(f.names)
}

// CatalogueInput is what the configuration and the file of newer prices say.
func CatalogueInput(c *config.Config) (catalogue.Input, error) {
	newer, err := newerPrices(c)
	return catalogue.Input{File: c.Source(), Text: c.Text, Prices: newer, PricesFile: filepath.Base(c.PricesFile)}, err
}

// newerPrices is the text of the file of newer prices, which need not be there
// unless the configuration names it.
func newerPrices(c *config.Config) (string, error) {
	text, err := os.ReadFile(c.PricesFile)
	if errors.Is(err, fs.ErrNotExist) && c.PricesFile == config.Default().PricesFile {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("configuration: prices_file: %w", err)
	}
	return string(text), nil
}

// WholeCatalogue is the catalogue with every offer of every provider in it, the
// demonstration's included where the configuration asks for them, and those that are
// stored; nil is none. A stored provider with a fault is told in broken.
func WholeCatalogue(ctx context.Context, c *config.Config, demo Local, stored *upstream.Loaded) (whole *catalogue.Catalogue,
	broken map[string]error, err error,
) {
	in, err := CatalogueInput(c)
	if err != nil {
		return nil, nil, err
	}
	if c.Demo {
		for _, p := range demo.Providers {
			in.Documents = append(in.Documents, p.Document("127.0.0.1:1"))
		}
	}
	return stored.Build(ctx, in, catalogue.Options{Whole: true})
}

// SetupOf is what the organisation's rules ask of a configuration and of the providers
// that it leads to.
func SetupOf(c *config.Config, providers Catalogue) governance.Setup {
	s := governance.Setup{
		LogLevel: c.Log.Level, AlertsOff: c.Alerts.Every == 0, Sinks: c.SinkNames(),
		Kept: map[string]time.Duration{
			"events": time.Duration(c.EventsKeep), "access_log": orNever(c.AccessKeep), "idempotency": orNever(c.Idempotency.TTL),
		},
	}
	for _, channel := range c.Alerts.Channels {
		to := channel.Route()
		one := governance.Channel{Name: to.Name, Narrowed: len(to.Teams) > 0 || to.Least == billing.Critical || to.Owners}
		for _, kind := range to.Kinds {
			one.Kinds = append(one.Kinds, string(kind))
		}
		s.Channels = append(s.Channels, one)
	}
	for _, use := range c.SecretUses() {
		s.Secrets = append(s.Secrets, governance.Secret{Setting: use.Setting, Source: use.Source})
	}
	s.Facts = factsOf(c)
	if providers.Catalogue == nil {
		return s
	}
	for _, p := range providers.Providers() {
		if !p.Configured {
			continue
		}
		s.Facts.Providers = append(s.Facts.Providers, p.Name)
		for _, ref := range p.References {
			s.Secrets = append(s.Secrets, governance.Secret{
				Setting: "providers." + p.Name, Source: secret.SourceOf(ref), Environments: p.Environments,
			})
		}
	}
	return s
}

func orNever(l config.Lifetime) time.Duration {
	if l == 0 {
		return governance.Never
	}
	return time.Duration(l)
}

// factsOf are what the written policy tells of a configuration.
func factsOf(c *config.Config) governance.Facts {
	f := governance.Facts{
		Database: "PostgreSQL", Login: c.Login.Issuer, MFA: len(c.Login.MFA) > 0, LeakListener: c.Leaks.Listen != "off" &&
			c.Leaks.Listen != "",
		PepperSource: secret.SourceOf(string(c.KeyPepper)), IntegrityRuns: time.Duration(c.IntegrityEvery),
		KeyEnded: time.Duration(c.Timeouts.KeyEnded),
	}
	if _, err := c.Database.SQLitePath(); err == nil {
		f.Database = "SQLite"
	}
	return f
}
