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
	Display string // shown to people; "" means Name
	Adapter string // a wire format
	BaseURL string // {name} in it stands for the value of a variable
	// Variables refer to what differs between accounts: name → env:NAME.
	Variables map[string]string
	// Private allows a BaseURL on a loopback, private or link-local address.
	Private bool
	Auth    Auth
	// Credentials replace Auth.Secret if there are several.
	Credentials []Credential
	KeyAdmin    KeyAdmin
	Headers     map[string]string
	Quirks      providers.Quirks
	Timeouts    Timeouts
	Billing     providers.Billing
	// TokensPerSecond is the default for models that do not set it.
	TokensPerSecond int64
	Weight          int      // 0 receives no traffic
	Environments    []string // of the keys that may use it; nil means all
	Fees            []Fees
	Models          []Model
}

// Auth describes how a provider receives its credential.
type Auth struct {
	Kind   string // bearer, header, aws, entra, google or none
	Header string // the header's name, if Kind is header
	Secret string // a reference such as env:ACME_API_KEY; for google, to a service account's key

	// If Kind is aws, Secret is the secret access key, and these hold the rest.
	Access  string // a reference to the access key ID
	Session string // a reference to the session token, which may be unset
	Region  string // "" means the one in the host's name

	// If Kind is entra, Secret is the application's secret, and these hold the rest.
	Tenant string // a reference to the directory
	Client string // a reference to the application's ID
	Scope  string // "" means that of Azure OpenAI
	Server string // "" means that of the public cloud, of OpenAI or of Anthropic

	// Identity is used in place of a secret: the cloud that says who the router is (aws, azure
	// or google), or where to find a token that does, such as file:/path.
	Identity string
	Profile  string // for AWS; "" means that of the environment
	Workload Workload
}

// Workload describes how OpenAI and Anthropic issue tokens in exchange for an identity
// provider's.
type Workload struct {
	Audience     string // of the identity provider's token; "" means the address of the provider's API
	Provider     string // OpenAI's ID of the token's issuer
	Account      string // ID of the service account
	Rule         string // Anthropic's ID of the rule that accepts the token
	Organization string
	Workspace    string
}

// references returns all references to the secrets that calls to the provider use.
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

// KeyAdmin is the admin API of a provider that creates keys; the zero value means none.
type KeyAdmin struct {
	Kind    string // openai
	Secret  string // a reference to the key that it requires
	Project string
	Account string // the service account that keys are created for
}

// Credential is one of several that a provider may be called with.
type Credential struct {
	Name   string // "" means its position in the list
	Owner  string // the email address of the person responsible for it
	Secret string // a reference
	Weight int    // its share of calls; 0 receives none
	Spare  bool   // used only if none of the others can take a call
}

// name returns the name by which ledger rows tell a credential from the others in the list.
func (c Credential) name(i int) string { return cmp.Or(c.Name, strconv.Itoa(i+1)) }

// Model is one model of a provider.
type Model struct {
	ID        string // our name for it, the same at every provider
	Canonical string // the model that it is a variant of; "" if it is not a variant
	Upstream  string // the provider's name for it
	Owner     string // who created it
	Created   time.Time
	Context   int64
	MaxOutput int64
	Can       providers.Abilities
	Tokenizer providers.Tokenizer
	Quirks    providers.Quirks // override those of the provider
	Timeouts  Timeouts         // likewise
	// TokensPerSecond is the maximum rate at which one choice of an answer grows.
	TokensPerSecond int64
	Prices          []billing.Price // by Since; if empty, the model is unpriced
	Fees            []Fees          // override those of the provider, meter by meter
}

// Timeouts limit how long the parts of a response may take; 0 means the default for each.
type Timeouts struct{ Header, FirstContent, Idle time.Duration }

// over returns t, with unset timeouts taken from below.
func (t Timeouts) over(below Timeouts) Timeouts {
	return Timeouts{cmp.Or(t.Header, below.Header), cmp.Or(t.FirstContent, below.FirstContent), cmp.Or(t.Idle, below.Idle)}
}

// blank returns a provider before its document is read.
func blank(name string) Provider {
	return Provider{Name: name, Adapter: "openai", Weight: 1}
}

// model returns the model with an ID, adding it if necessary.
func (p *Provider) model(id string) *Model {
	i := slices.IndexFunc(p.Models, func(m Model) bool { return m.ID == id })
	if i < 0 {
		i = len(p.Models)
		p.Models = append(p.Models, Model{ID: id, Upstream: id, Owner: p.Name, Can: providers.Abilities{Stream: true}})
	}
	return &p.Models[i]
}

// Parse reads and checks one provider's document. The error is of type Faults and lists
// everything that is wrong with it, with line numbers.
func Parse(file string, text []byte) (Provider, error) {
	r := newReader(file)
	p := blank("")
	if len(text) > maxText {
		text = text[:maxText+1] // refused below, so there is no need to copy the rest
	}
	r.document(string(text), func(path string, n node) { r.provider(path, n, &p, sourceCatalog) })
	if len(r.faults) == 0 && p.Name == "" {
		r.fault("", "the document is empty")
	}
	return p, r.faults.err()
}

// provider reads a document over p and checks the result.
func (r *reader) provider(path string, n node, p *Provider, source string) {
	d := document{reader: r, p: p, source: source, models: make(map[string]int)}
	d.read(path, n)
	d.check(path)
}

// loaded is a provider with what is needed to report faults in it later.
type loaded struct {
	Provider
	reader *reader
	path   string
	stored bool    // an administrator described it
	rest   *unread // nil if everything was parsed
}

// from returns who describes a provider.
func (l *loaded) from() string {
	switch {
	case l.stored:
		return "stored"
	case l.reader != nil:
		return "configuration"
	}
	return "built-in"
}

// operatorProviders reads the section "providers:" of the operator's configuration over the
// built-in documents: keyed by name, or as a list of documents that contain one. New
// providers must be complete.
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

// operatorDocument reads one document that contains a name.
func (r *reader) operatorDocument(text string, all []loaded) []loaded {
	r.document(text, func(path string, n node) { all = r.named(path, n, all) })
	return all
}

// named calls overlay for a document that contains a name.
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

// newerPrices reads a file of newer prices over the built-in documents. It says nothing about
// a provider except what its models cost.
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
