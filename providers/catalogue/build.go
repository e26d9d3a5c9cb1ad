package catalogue

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/auth"
	"tallyroute/providers/identity"
	"tallyroute/providers/secret"
)

//go:embed data/*.yaml
var builtin embed.FS

// Input is what the operator provides.
type Input struct {
	// Text is the configuration, of which the sections "providers:" and "aliases:" are read.
	// File is its name, for faults.
	File, Text string
	// Prices is a file with newer prices for built-in models, and PricesFile its name. The
	// configuration overrides it.
	Prices     string
	PricesFile string
	// Documents are further providers, each in the form of a file of its own.
	Documents []string
	// Stored are providers that administrators have described. Those that the configuration
	// describes as well are ignored: the configuration takes precedence.
	Stored []Stored
	// Credentials are the ones that administrators have stored, by provider.
	Credentials map[string][]Credential
	// Auto is the model that "auto" falls back to if no other is available.
	Auto string
}

// Options control how a catalogue is built. The zero value is for production.
type Options struct {
	// Data holds the built-in documents as *.yaml; nil means those in the binary.
	Data fs.FS
	// Secrets resolves references to credentials; nil means secret.Resolve.
	Secrets func(ctx context.Context, ref string) (secret.Value, error)
	// Whole reads every built-in document to its end, to check it, even if its provider is not
	// used.
	Whole bool
	// Proxy is the proxy for authorization servers; nil means a direct connection.
	Proxy *providers.Proxy
	// Host is the router's identity at the clouds; nil means a new identity.Host.
	Host *identity.Host
	// Now is the clock by which Models picks prices; nil means time.Now.
	Now func() time.Time
}

// Catalogue resolves names to targets. It is immutable.
type Catalogue struct {
	now      func() time.Time
	routes   map[string]route
	names    []string // all names that are shown to people, sorted
	models   []providers.Listing
	offers   []Offer // of all providers, if the documents were read in full
	prices   []billing.Price
	book     *billing.PriceBook
	statuses []Status

	credentials []CredentialStatus
	auths       map[string]Auth // by provider
	admins      map[string]AdminAPI
}

// Status says whether a known provider is in use.
type Status struct {
	Name       string
	Display    string
	BaseURL    string
	Adapter    string
	Models     int
	Configured bool
	Why        string // why it is not configured
	// Environments are those of the keys that may use it; nil means all.
	Environments []string
	// References are the sources of its credentials.
	References []string
	From       string // who describes it: built-in, configuration or stored
}

// Build reads the built-in documents and overlays the operator's. A provider takes part if
// its credential can be resolved, or if it needs none. The error is of type Faults and
// lists every problem found.
func Build(ctx context.Context, in Input, o Options) (*Catalogue, error) {
	if o.Data == nil {
		o.Data, _ = fs.Sub(builtin, "data")
	}
	if o.Secrets == nil {
		o.Secrets = secret.Resolve
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	read := heads
	if o.Whole {
		read = builtins
	}
	all, faults := read(o.Data)
	newer := newReader(in.PricesFile)
	all = newer.newerPrices(in.Prices, all)
	faults = append(faults, newer.faults...)
	described := Described(in.Text)
	for _, stored := range in.Stored {
		if !slices.Contains(described, stored.Name) {
			own := newReader(stored.file())
			all = own.storedProvider(stored, all)
			faults = append(faults, own.faults...)
		}
	}
	r := newReader(in.File)
	all = r.operatorProviders(in.Text, all)
	for _, text := range in.Documents {
		extra := newReader("")
		all = extra.operatorDocument(text, all)
		faults = append(faults, extra.faults...)
	}
	b := builder{
		Catalogue: &Catalogue{
			now: o.Now, routes: make(map[string]route), auths: make(map[string]Auth), admins: make(map[string]AdminAPI),
		},
		secrets: o.Secrets, proxy: o.Proxy, host: cmp.Or(o.Host, &identity.Host{}), stored: in.Credentials,
	}
	slices.SortStableFunc(all, func(a, b loaded) int { return strings.Compare(a.Name, b.Name) })
	for i := range all {
		b.provider(ctx, &all[i])
	}
	faults = append(faults, b.faults...)
	aliases := newReader(in.File)
	b.names(aliases, aliases.operatorAliases(in.Text, in.Auto), all)
	faults = append(append(faults, r.faults...), aliases.faults...)
	if err := faults.err(); err != nil {
		return nil, err
	}
	return b.Catalogue, nil
}

// builder builds a catalogue provider by provider.
type builder struct {
	*Catalogue
	secrets func(ctx context.Context, ref string) (secret.Value, error)
	proxy   *providers.Proxy
	host    *identity.Host
	stored  map[string][]Credential // by provider
	targets []providers.Target      // of the providers that take part
	facts   []Model                 // of each target
	faults  Faults                  // of documents that were read late
}

// provider records what is known about a provider and, if it takes part, its targets.
func (b *builder) provider(ctx context.Context, l *loaded) {
	s := Status{
		Name: l.Name, Display: cmp.Or(l.Display, l.Name), BaseURL: l.BaseURL, Adapter: l.Adapter, Models: l.count(),
		Configured: true, Environments: l.Environments, From: l.from(),
	}
	if err := b.credentials(ctx, l); err != nil {
		s.Configured, s.Why = false, strings.TrimPrefix(err.Error(), "secret: ")
	}
	s.References = l.references() // with those of stored credentials
	at, region, err := b.place(ctx, l.Provider)
	switch {
	case !s.Configured:
	case err != nil:
		s.Configured, s.Why = false, err.Error()
	case s.Models == 0:
		s.Configured, s.Why = false, "no models are listed"
	}
	b.statuses, b.auths[l.Name] = append(b.statuses, s), l.Auth
	if l.KeyAdmin.Kind != "" {
		b.admins[l.Name] = AdminAPI{l.KeyAdmin, at, l.Private}
	}
	if l.rest == nil {
		b.note(l, s)
	}
	if !s.Configured {
		return
	}
	l.BaseURL = at
	b.faults = append(b.faults, l.read()...)
	common := b.target(l.Provider)
	common.Region = cmp.Or(l.Auth.Region, region)
	for _, m := range l.Models {
		t := common
		t.Model, t.Upstream, t.Can, t.Tokenizer = m.ID, m.Upstream, m.Can, m.Tokenizer
		t.Context, t.MaxOutput, t.Quirks = m.Context, m.MaxOutput, m.Quirks.Over(common.Quirks.Of(m.Can.Operation))
		t.TokensPerSecond = cmp.Or(m.TokensPerSecond, t.TokensPerSecond)
		times := m.Timeouts.over(l.Timeouts)
		t.HeaderTimeout, t.FirstTimeout, t.IdleTimeout = times.Header, times.FirstContent, times.Idle
		b.targets, b.facts = append(b.targets, t), append(b.facts, m)
		m.Fees = over(l.Fees, m.Fees)
		b.prices = append(b.prices, m.Dated()...)
	}
}

// credentials returns what a provider lacks to be called, or nil. If it has several
// credentials, those that can't be resolved get weight 0; one that can is enough.
func (b *builder) credentials(ctx context.Context, l *loaded) (missing error) {
	resolve := func(at, ref string) error {
		v, err := b.secrets(ctx, ref)
		if err == nil && l.Auth.inHeader() && !auth.Fits(v.Reveal()) {
			err = fmt.Errorf("%w: %s", errUnfit, ref)
		}
		if (errors.Is(err, secret.ErrLiteral) || errors.Is(err, errUnfit) || errors.As(err, new(*secret.UnsafeError))) && l.reader != nil {
			l.reader.fault(join(l.path, at), "%s", strings.TrimPrefix(err.Error(), "secret: "))
		}
		return err
	}
	status := func(name, ref string, weight int) CredentialStatus {
		return CredentialStatus{Provider: l.Name, Name: name, Refers: ref, Weight: weight}
	}
	alone := len(l.Credentials) == 0
	if alone {
		for _, ref := range l.Auth.references() {
			if err := resolve("api_key", ref); err != nil {
				missing = err
			}
		}
		if l.Auth.Secret != unstored && l.Auth.Kind != authNone {
			b.tell(l, status("", l.Auth.refers(), 1), missing)
		}
	}
	own := l.Credentials
	b.addStored(ctx, l, missing)
	if alone && len(l.Credentials) == 0 {
		return missing
	}
	there := len(l.Credentials) > len(own)
	for i := range own {
		c := &l.Credentials[i]
		s := status(c.name(i), c.Secret, c.Weight)
		s.Owner = c.Owner
		err := resolve(fmt.Sprintf("credentials[%d].secret", i), c.Secret)
		if err != nil {
			c.Weight, missing = 0, err
		}
		there = there || err == nil
		b.tell(l, s, err)
	}
	if there {
		return nil
	}
	return missing
}

// tell records the status of a credential from the documents or the configuration.
func (b *builder) tell(l *loaded, s CredentialStatus, err error) {
	if err != nil {
		s.Why = strings.TrimPrefix(err.Error(), "secret: ")
	}
	if err != nil && l.reader == nil {
		return // a credential that a built-in provider would use
	}
	if s.Name == "" && len(b.stored[l.Name]) > 0 {
		s.Name = "1"
	}
	b.Catalogue.credentials = append(b.Catalogue.credentials, s)
}

// errUnfit reports a credential that can't be sent.
var errUnfit = errors.New("the credential holds a line end or another control character")

// inHeader reports whether the credential itself is sent in a header.
func (a Auth) inHeader() bool { return a.Kind == authBearer || a.Kind == authHeader }

// place returns the base URL with its variables filled in, and the region if one of them
// names it.
func (b *builder) place(ctx context.Context, p Provider) (at, region string, err error) {
	at = p.BaseURL
	for _, name := range sortedKeys(p.Variables) {
		if !strings.Contains(at, "{"+name+"}") {
			continue // the operator has set another base URL
		}
		v, err := b.secrets(ctx, p.Variables[name])
		if err != nil {
			return "", "", errors.New(strings.TrimPrefix(err.Error(), "secret: "))
		}
		value, err := variable(v.Reveal())
		if err != nil {
			return "", "", fmt.Errorf("variable %s: %w", name, err)
		}
		if name == "region" || name == "location" {
			region = value
		}
		at = strings.ReplaceAll(at, "{"+name+"}", value)
	}
	return at, region, nil
}

// target returns what all targets of a provider have in common.
func (b *builder) target(p Provider) providers.Target {
	header := make(http.Header)
	for name, value := range p.Headers {
		header.Set(name, value)
	}
	several, shared := b.several(p)
	if len(several) > 0 && shared == 0 {
		p.Weight = 0
	}
	adapter := formats()[p.Adapter].adapter()
	return providers.Target{
		Credentials: several,
		Provider:    p.Name, BaseURL: p.BaseURL, Adapter: adapter, Auth: b.auth(p.Auth, p), Header: header,
		Quirks: p.Quirks.Over(adapter.Quirks),
		Weight: p.Weight, Environments: p.Environments, Private: p.Private,
		Billing: p.Billing, TokensPerSecond: p.TokensPerSecond,
	}
}

// several returns the credentials of a provider that has more than one, named by their
// position in the list, and the sum of their weights.
func (b *builder) several(p Provider) (list []providers.Credential, sum int) {
	for i, c := range p.Credentials {
		a := p.Auth
		if a.Kind == authAWS && strings.HasPrefix(c.Secret, StoredPrefix) {
			a.Access = ""
		}
		a.Secret = c.Secret
		list = append(list, providers.Credential{Name: c.name(i), Auth: b.auth(a, p), Weight: c.Weight, Spare: c.Spare})
		sum += c.Weight
	}
	return list, sum
}

// optional returns a source that yields "" if the reference is not set: only temporary keys
// have a session token.
func optional(ref string, from auth.Source) auth.Source {
	if ref == "" {
		return nil
	}
	return func(ctx context.Context) (string, error) {
		text, err := from(ctx)
		if missing := (*secret.NotSetError)(nil); errors.As(err, &missing) {
			return "", nil
		}
		return text, err
	}
}
