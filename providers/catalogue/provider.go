package catalogue

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/secret"
)

// Provider is one document: how to call an upstream and what it offers.
type Provider struct {
	Name    string
	Display string // for people; the name where it is empty
	Adapter string // a wire format
	BaseURL string // {name} in it is the value of a variable
	// Variables are references to what differs between accounts: name → env:NAME.
	Variables map[string]string
	// Private allows a BaseURL on a loopback, private or link-local address.
	Private bool
	Auth    Auth
	// Credentials take the place of Auth.Secret where there are several.
	Credentials []Credential
	KeyAdmin    KeyAdmin
	Headers     map[string]string
	Quirks      providers.Quirks
	Timeouts    Timeouts
	Billing     providers.Billing
	// TokensPerSecond is that of the models that do not say.
	TokensPerSecond int64
	Weight          int      // 0 takes no traffic
	Environments    []string // of the keys that it is for; nil is all
	Fees            []Fees
	Models          []Model
}

// Auth says how a provider is given its credential.
type Auth struct {
	Kind   string // bearer, header, aws, entra, google or none
	Header string // which one, where Kind is header
	Secret string // a reference such as env:ACME_API_KEY; of kind google to the key of a service account

	// Where Kind is aws, Secret is the secret access key, and these say the rest.
	Access  string // a reference to the access key id
	Session string // a reference to the session token; it need not lead anywhere
	Region  string // "" is the one in the host's name

	// Where Kind is entra, Secret is that of an application, and these say the rest.
	Tenant string // a reference to the directory
	Client string // a reference to the id of the application
	Scope  string // "" is that of Azure OpenAI
	Server string // "" is that of the public cloud, of OpenAI or of Anthropic

	// Identity is whom the router asks who it is, in place of a secret: aws, azure, google, or
	// where a token is that says so, such as file:/path.
	Identity string
	Profile  string // of AWS; "" is that of the environment
	Workload Workload
}

// Workload is what OpenAI and Anthropic give tokens by, to whoever shows another's token.
type Workload struct {
	Audience     string // of the token that is shown; "" is the address of the provider's API
	Provider     string // OpenAI's id of who issues it
	Account      string // id of the service account
	Rule         string // Anthropic's id of the rule by which it is taken
	Organization string
	Workspace    string
}

// references are those of everything that the provider is called with.
func (p *Provider) references() (list []string) {
	add := func(refs ...string) {
		for _, ref := range refs {
			if secret.SourceOf(ref) != "" && !slices.Contains(list, ref) {
				list = append(list, ref)
			}
		}
	}
	if len(p.Credentials) == 0 {
		add(p.Auth.Secret, p.Auth.Identity)
	}
	for _, c := range p.Credentials {
		add(c.Secret)
	}
	add(p.Auth.Access, p.Auth.Session)
	return list
}

// KeyAdmin is the admin API of a provider that makes keys; the zero value is none.
type KeyAdmin struct {
	Kind    string // openai
	Secret  string // a reference to the key that it takes
	Project string
	Account string // the service account that keys are made for
}

// Credential is one of several that a provider may be called with.
type Credential struct {
	Name   string // "" is its place in the list
	Owner  string // the address of who answers for it
	Secret string // a reference
	Weight int    // the share of calls that it takes; 0 takes none
	Spare  bool   // takes calls only where none of the others can
}

// name is by which rows of the ledger tell a credential from the others in the list.
func (c Credential) name(i int) string { return cmp.Or(c.Name, strconv.Itoa(i+1)) }

// Model is one model of a provider.
type Model struct {
	ID        string // our name for it, the same at every provider that has it
	Canonical string // the model that it is a variant of; "" where it is that model itself
	Upstream  string // the provider's name for it
	Owner     string // who made it
	Created   time.Time
	Context   int64
	MaxOutput int64
	Can       providers.Abilities
	Tokenizer providers.Tokenizer
	Quirks    providers.Quirks // over those of the provider
	Timeouts  Timeouts         // likewise
	// TokensPerSecond is the most that one choice of an answer grows by in a second.
	TokensPerSecond int64
	Prices          []billing.Price // by Since; none: the model is unpriced
	Fees            []Fees          // over those of the provider, meter by meter
}

// Timeouts are how long the parts of an answer may take; 0 is the default of each.
type Timeouts struct{ Header, FirstContent, Idle time.Duration }

// over is t where it says something, else what is below.
func (t Timeouts) over(below Timeouts) Timeouts {
	return Timeouts{cmp.Or(t.Header, below.Header), cmp.Or(t.FirstContent, below.FirstContent), cmp.Or(t.Idle, below.Idle)}
}

// blank is a provider before its document is read.
func blank(name string) Provider {
	return Provider{Name: name, Adapter: "openai", Weight: 1}
}

// model is where the model with an id stands, or where it comes to stand.
func (p *Provider) model(id string) *Model {
	i := slices.IndexFunc(p.Models, func(m Model) bool { return m.ID == id })
	if i < 0 {
		i = len(p.Models)
		p.Models = append(p.Models, Model{ID: id, Upstream: id, Owner: p.Name, Can: providers.Abilities{Stream: true}})
	}
	return &p.Models[i]
}

// Parse reads and checks one document of a provider. The error is Faults: all
// that is wrong with it, each with its line.
func Parse(file string, text []byte) (Provider, error) {
	r := newReader(file)
	p := blank("")
	if len(text) > maxText {
		text = text[:maxText+1] // is refused below, and need not be copied for that
	}
	r.document(string(text), func(path string, n node) { r.provider(path, n, &p, sourceCatalog) })
	if len(r.faults) == 0 && p.Name == "" {
		r.fault("", "the document is empty")
	}
	return p, r.faults.err()
}

// provider reads a document over p and checks what came of it.
func (r *reader) provider(path string, n node, p *Provider, source string) {
	d := document{reader: r, p: p, source: source, models: make(map[string]int)}
	d.read(path, n)
	d.check(path)
}

// loaded is a provider with what is needed to report a fault of it later.
type loaded struct {
	Provider
	reader *reader
	path   string
	stored bool    // an administrator has described it
	rest   *unread // nil where all was read
}

// from is who describes a provider.
func (l *loaded) from() string {
	switch {
	case l.stored:
		return "stored"
	case l.reader != nil:
		return "configuration"
	}
	return "built-in"
}

// operatorProviders reads the section "providers:" of the operator's
// configuration over the built-in documents: by name, or as a list of documents
// that have one. Those that are new must be complete.
func (r *reader) operatorProviders(text string, all []loaded) []loaded {
	r.section(text, "providers", func(path string, n node) {
		if _, ok := n.(ast.ArrayNode); ok {
			r.list(func(path string, n node) { all = r.named(path, n, all) })(path, n)
			return
		}
		r.mapping(path, n, func(path, name string, n node) {
			if _, err := providerName(name); err != nil {
				r.fault(path, "%s", err)
				return
			}
			r.value(path, n, func(path string, n node) { all = r.overlay(path, n, name, all) })
		})
	})
	return all
}

// operatorDocument reads one document that has a name.
func (r *reader) operatorDocument(text string, all []loaded) []loaded {
	r.document(text, func(path string, n node) { all = r.named(path, n, all) })
	return all
}

// named is overlay for a document that has a name.
func (r *reader) named(path string, n node, all []loaded) []loaded {
	var name string
	r.member(path, n, "name", scalar(r, &name, providerName))
	return r.overlay(path, n, name, all)
}

// overlay reads a document over the provider with its name, or as a new one.
func (r *reader) overlay(path string, n node, name string, all []loaded) []loaded {
	i := slices.IndexFunc(all, func(l loaded) bool { return l.Name == name && name != "" })
	if i < 0 {
		i = len(all)
		all = append(all, loaded{Provider: blank(name)})
	} else if all[i].reader == r {
		r.fault(path, "provider %s is already described in line %d", name, r.lines[all[i].path])
		return all
	}
	r.faults = append(r.faults, all[i].read()...)
	all[i].reader, all[i].path = r, path
	r.provider(path, n, &all[i].Provider, sourceContract)
	return all
}

// newerPrices reads a file of newer prices over the built-in documents. It says
// nothing of a provider but what its models cost.
func (r *reader) newerPrices(text string, all []loaded) []loaded {
	r.document(text, func(_ string, n node) {
		r.object("", n, map[string]read{"providers": func(path string, n node) {
			r.mapping(path, n, func(path, name string, n node) {
				i := slices.IndexFunc(all, func(l loaded) bool { return l.Name == name })
				if i < 0 {
					r.fault(path, "no built-in provider has that name")
					return
				}
				r.faults = append(r.faults, all[i].read()...)
				d := document{reader: r, p: &all[i].Provider, source: sourceCatalog, models: make(map[string]int)}
				r.value(path, n, d.pricesAlone)
				d.check(path)
			})
		}})
	})
	return all
}

func (d document) pricesAlone(path string, n node) {
	d.object(path, n, map[string]read{"models": d.list(func(path string, n node) {
		var id string
		d.member(path, n, "id", scalar(d.reader, &id, modelName))
		i := slices.IndexFunc(d.p.Models, func(m Model) bool { return m.ID == id })
		if i < 0 {
			d.fault(path, "the provider has no model %q", shorten(id))
			return
		}
		d.object(path, n, map[string]read{"id": done, "prices": d.prices(&d.p.Models[i])})
	})})
}
