package app

import (
	"cmp"
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

// Catalogue adapts the catalogue to what the router needs.
type Catalogue struct{ *catalogue.Catalogue }

var _ router.Catalogue = Catalogue{}

// known reports whether a key may be limited to name and, if not, the closest known name. A
// pattern such as groq/* is known if its provider is.
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

// KnownModel returns a function that reports whether a key may be limited to a name. It
// goes by the whole catalogue, because whoever makes keys need not have the providers'
// credentials, and by the demonstration's models, because the running router may be the
// demonstration. It is nil, meaning that every name is accepted, if the catalogue can't be
// read.
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
	if err != nil { // the configuration may define providers with these names
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

// Source says where a configuration comes from.
type Source struct {
	File string   // "" is ./tallyroute.yaml, if it exists
	Env  []string // environment variables that override it
	Demo Local    // the demonstration's providers, for demo: true

	secrets *manager.Keeper // the running router's, on a reload; nil makes one for this load
}

// keeper returns the keeper that reads the configuration's secrets.
func (s Source) keeper(c *config.Config) (*manager.Keeper, error) {
	if s.secrets != nil {
		return s.secrets, nil
	}
	return once(c)
}

// Load reads the configuration and the catalogue built from it, and reports every fault in
// both.
func Load(ctx context.Context, from Source) (*config.Config, Catalogue, error) {
	return load(ctx, from, &credentialFiles{})
}

// LoadService is Load for a router that is about to run: it also refuses everything that
// New would refuse, except what depends on other running processes.
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
	_, ringErr := ring(ctx, credentials.from, cfg, billing.Pepper{})
	_, channelErr := notifiers(ctx, credentials.from, cfg)
	for _, err := range []error{
		tokenErr, channelErr, ringErr, checkPepper(ctx, credentials.from, cfg), checkStore(ctx, credentials.from, cfg),
		checkCertificates(cfg),
	} {
		for _, line := range strings.FieldsFunc(errorText(err), func(r rune) bool { return r == '\n' }) {
			setting, problem, _ := strings.Cut(line, ": ")
			if !slices.ContainsFunc(faults, func(f config.Fault) bool { return f.Path == setting }) { // already reported by the reader
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

// nowhere is a placeholder address for the demonstration's providers when they aren't
// running.
func nowhere(string) string { return "127.0.0.1:1" }

// Local describes providers that answer within this process.
type Local struct {
	Providers []LocalProvider
	Auto      string // the model that "auto" stands for if no other is available
}

// LocalProvider is one of them. Document returns its catalogue entry for the address at
// which it listens.
type LocalProvider struct {
	Name     string
	Handler  http.Handler
	Document func(address string) string
}

// openCatalogue builds the catalogue from the configuration, the demonstration's providers
// if it asks for them, and what administrators have stored (nil if nothing).
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

// catalogueParts returns the parts that the catalogue is built from.
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

// credentialFiles resolves references to credentials and, until it is closed, notes which
// files they name. Missing files count too, because a provider appears when its file does.
type credentialFiles struct {
	from   *manager.Keeper
	host   *identity.Host // nil looks it up anew
	closed atomic.Bool
	mu     sync.Mutex
	names  []string
	own    []string // references that lead to a router key
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

// errOwnKey means that a router key was found where a provider's key belongs.
var errOwnKey = errors.New("holds a key of Tallyroute, where the provider's own belongs")

// ours returns the faults of references that lead to router keys. This happens because the
// same variable holds the provider's key for the router and the router's key for an
// application.
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

// CatalogueInput returns what the configuration and the file of newer prices contribute to
// the catalogue.
func CatalogueInput(c *config.Config) (catalogue.Input, error) {
	newer, err := newerPrices(c)
	return catalogue.Input{File: c.Source(), Text: c.Text, Prices: newer, PricesFile: filepath.Base(c.PricesFile)}, err
}

// newerPrices returns the text of the file of newer prices. The file is optional unless the
// configuration names it.
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

// WholeCatalogue returns the catalogue with every offer of every provider, including the
// demonstration's providers if the configuration asks for them, and the stored ones (nil
// for none). Stored providers that have a fault are returned in broken.
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

// SetupOf returns the facts that the organisation's rules check about a configuration and
// its providers.
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

// factsOf returns what the written policy says about a configuration.
func factsOf(c *config.Config) governance.Facts {
	f := governance.Facts{
		Database: "PostgreSQL", Login: c.Login.Issuer, MFA: len(c.Login.MFA) > 0, LeakListener: c.Leaks.Listen != "off" &&
			c.Leaks.Listen != "",
		PepperSource: secret.SourceOf(string(c.KeyPepper)), IntegrityRuns: time.Duration(c.IntegrityEvery),
		KeyEnded: time.Duration(c.Timeouts.KeyEnded),
	}
	f.Sealing, f.SealingTwo = secret.SourceOf(string(c.Secrets.Key)), c.Secrets.Previous != ""
	f.Transport = governance.Transport{
		Demanded: c.RequireTLS, ClientCerts: c.AdminTLS.ClientCAFile != "", HSTS: c.TLS.HSTS > 0, Database: c.Database.SSLMode(),
	}
	if c.TLS.On() {
		f.Transport.Public = cmp.Or(c.TLS.MinVersion, "1.2")
	}
	if c.AdminTLS.On() {
		f.Transport.Admin = cmp.Or(c.TLS.MinVersion, "1.2")
	}
	if _, err := c.Database.SQLitePath(); err == nil {
		f.Database = "SQLite"
	}
	return f
}
