package catalogue

import (
	"cmp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"tallyroute/providers"
)

type node = ast.Node

// The sources of a price.
const (
	sourceCatalog  = "catalog"
	sourceContract = "contract"
	sourceManual   = "manual"
)

// document reads one document over a provider that may already have settings.
type document struct {
	*reader
	p      *Provider
	source string         // of prices that do not state one
	models map[string]int // ID → line, of models described here
}

// read reads the document. It needs the provider's name first, because models may be written
// with the name in front; p may already have it.
func (d document) read(path string, n node) {
	p := d.p
	d.member(path, n, "name", func(path string, n node) {
		given := p.Name
		scalar(d.reader, &p.Name, providerName)(path, n)
		if given != "" && p.Name != given {
			d.fault(path, "is not the name that the provider is listed under")
			p.Name = given
		}
	})
	d.member(path, n, "adapter", scalar(d.reader, &p.Adapter, oneOf(adapterNames()...))) // models depend on it
	d.object(path, n, map[string]read{
		"name":         done,
		"display":      scalar(d.reader, &p.Display, plain),
		"adapter":      done,
		"base_url":     scalar(d.reader, &p.BaseURL, plain),
		"variables":    d.variables,
		"private":      scalar(d.reader, &p.Private, yesNo),
		"api_key":      scalar(d.reader, &p.Auth.Secret, credential),
		"auth":         d.auth,
		"credentials":  d.credentials,
		"key_admin":    d.keyAdmin,
		"headers":      d.headers,
		"quirks":       d.quirks(&p.Quirks),
		"timeouts":     d.timeouts(&d.p.Timeouts),
		"billing":      d.billing,
		"weight":       scalar(d.reader, &p.Weight, between(0, 1000)),
		"environments": d.environments,
		"fees":         d.fees(&p.Fees),
		"models":       d.list(d.model),
	})
}

// environments reads the environments of the keys that may use a provider.
func (d document) environments(path string, n node) {
	d.p.Environments = nil
	d.list(func(path string, n node) {
		var one string
		scalar(d.reader, &one, oneOf("prod", "staging", "dev"))(path, n)
		d.p.Environments = append(d.p.Environments, one)
	})(path, n)
	if len(d.p.Environments) == 0 {
		d.fault(path, "want at least one environment")
	}
}

// credentials reads several credentials, which replace any set before.
func (d document) credentials(path string, n node) {
	d.p.Credentials = nil
	d.list(func(path string, n node) {
		c := Credential{Weight: 1}
		d.object(path, n, map[string]read{
			"name":   scalar(d.reader, &c.Name, credentialName),
			"owner":  scalar(d.reader, &c.Owner, plain),
			"secret": scalar(d.reader, &c.Secret, credential),
			"weight": scalar(d.reader, &c.Weight, between(0, 1000)),
		})
		if c.Secret == "" {
			d.fault(path, "a credential needs a secret")
		}
		if c.Name != "" && slices.ContainsFunc(d.p.Credentials, func(o Credential) bool { return o.Name == c.Name }) {
			d.fault(path+".name", "another credential has it")
		}
		d.p.Credentials = append(d.p.Credentials, c)
	})(path, n)
	if len(d.p.Credentials) == 0 {
		d.fault(path, "want at least one credential")
		return
	}
	d.p.Auth.Secret = d.p.Credentials[0].Secret
}

// keyAdmin reads the admin API that creates keys.
func (d document) keyAdmin(path string, n node) {
	k := &d.p.KeyAdmin
	d.object(path, n, map[string]read{
		"kind":            scalar(d.reader, &k.Kind, oneOf("openai")),
		"secret":          scalar(d.reader, &k.Secret, credential),
		"project":         scalar(d.reader, &k.Project, plain),
		"service_account": scalar(d.reader, &k.Account, plain),
	})
	if k.Kind == "" || k.Secret == "" || k.Project == "" || k.Account == "" {
		d.fault(path, "needs a kind, a secret, a project and a service_account")
	}
}

// done handles members that were already read.
func done(string, node) {}

// auth reads how to authorise, over earlier settings, of which it keeps what still applies.
func (d document) auth(path string, n node) {
	a, before := &d.p.Auth, d.p.Auth
	*a = Auth{}
	d.object(path, n, map[string]read{
		"kind":   scalar(d.reader, &a.Kind, oneOf(authKinds()...)),
		"header": scalar(d.reader, &a.Header, headerName),
		"secret": scalar(d.reader, &a.Secret, credential),

		"access_key":    scalar(d.reader, &a.Access, credential),
		"session_token": scalar(d.reader, &a.Session, credential),
		"region":        scalar(d.reader, &a.Region, awsRegion),

		"tenant": scalar(d.reader, &a.Tenant, credential),
		"client": scalar(d.reader, &a.Client, credential),
		"scope":  scalar(d.reader, &a.Scope, plain),
		"server": scalar(d.reader, &a.Server, plain),

		"identity": scalar(d.reader, &a.Identity, credential),
		"profile":  scalar(d.reader, &a.Profile, plain),

		"audience":             scalar(d.reader, &a.Workload.Audience, plain),
		"identity_provider_id": scalar(d.reader, &a.Workload.Provider, plain),
		"service_account_id":   scalar(d.reader, &a.Workload.Account, plain),
		"federation_rule_id":   scalar(d.reader, &a.Workload.Rule, plain),
		"organization_id":      scalar(d.reader, &a.Workload.Organization, plain),
		"workspace_id":         scalar(d.reader, &a.Workload.Workspace, plain),
	})
	if a.Kind == "" {
		a.Kind, a.Header = before.Kind, cmp.Or(a.Header, before.Header)
		a.Access, a.Session, a.Region = cmp.Or(a.Access, before.Access), cmp.Or(a.Session, before.Session), cmp.Or(a.Region, before.Region)
		a.Tenant, a.Client = cmp.Or(a.Tenant, before.Tenant), cmp.Or(a.Client, before.Client)
		a.Scope, a.Server = cmp.Or(a.Scope, before.Scope), cmp.Or(a.Server, before.Server)
		a.Identity, a.Profile = cmp.Or(a.Identity, before.Identity), cmp.Or(a.Profile, before.Profile)
	}
	if a.Kind != authNone && a.Identity == "" {
		a.Secret = cmp.Or(a.Secret, before.Secret)
	}
}

func (d document) headers(path string, n node) {
	table(d.reader, &d.p.Headers, headerValue)(path, n)
	for _, name := range sortedKeys(d.p.Headers) {
		if _, err := headerName(name); err != nil {
			d.fault(path+"."+shorten(name), "%s", err)
		} else if reserved(name) {
			d.fault(path+"."+name, "is set by the router itself; credentials belong in auth")
		}
	}
}

func (d document) billing(path string, n node) {
	d.object(path, n, map[string]read{
		"server_errors":     scalar(d.reader, &d.p.Billing.Errors, yesNo),
		"stops_on_cancel":   scalar(d.reader, &d.p.Billing.Stops, yesNo),
		"tokens_per_second": scalar(d.reader, &d.p.TokensPerSecond, between64(1, 1_000_000)),
	})
}

func (d document) timeouts(t *Timeouts) read {
	return func(path string, n node) {
		d.object(path, n, map[string]read{
			"header":        scalar(d.reader, &t.Header, timeout),
			"first_content": scalar(d.reader, &t.FirstContent, timeout),
			"idle":          scalar(d.reader, &t.Idle, timeout),
		})
	}
}

// model reads an item of models over the existing model with its ID, if any.
func (d document) model(path string, n node) {
	id, faults := "", len(d.faults)
	d.member(path, n, "id", scalar(d.reader, &id, func(s string) (string, error) {
		return modelName(strings.TrimPrefix(s, d.p.Name+"/"))
	}))
	if id == "" {
		if len(d.faults) == faults {
			d.fault(path, "a model needs an id")
		}
		return
	}
	if line, ok := d.models[id]; ok {
		d.fault(path, "model %s is already described in line %d", id, line)
		return
	}
	d.models[id] = d.lines[path]
	known := len(d.p.Models)
	m := d.p.model(id)
	if len(d.p.Models) > known {
		d.family(path, n, m)
	}
	d.object(path, n, map[string]read{
		"id":         done,
		"upstream":   scalar(d.reader, &m.Upstream, upstreamName),
		"canonical":  scalar(d.reader, &m.Canonical, modelName),
		"owner":      scalar(d.reader, &m.Owner, plain),
		"created":    scalar(d.reader, &m.Created, date),
		"context":    scalar(d.reader, &m.Context, tokens),
		"max_output": scalar(d.reader, &m.MaxOutput, tokens),
		"can":        d.abilities(&m.Can),
		"tokenizer":  d.tokenizer(&m.Tokenizer),
		"quirks":     d.quirks(&m.Quirks),
		"timeouts":   d.timeouts(&m.Timeouts),
		"prices":     d.prices(m),
		"fees":       d.fees(&m.Fees),

		"tokens_per_second": scalar(d.reader, &m.TokensPerSecond, between64(1, 1_000_000)),
	})
	if m.Context > 0 && m.MaxOutput > m.Context {
		d.fault(path+".max_output", "is more than the context of %d", m.Context)
	}
}

// family sets what is known about a new model's family; the document overrides it.
func (d document) family(path string, n node, m *Model) {
	names := []string{"", m.ID, ""} // canonical name, ID and upstream name
	for i, name := range []string{"canonical", "", "upstream"} {
		if name != "" {
			d.member(path, n, name, func(_ string, n node) { names[i] = n.GetToken().Value })
		}
	}
	m.Quirks = familyQuirks(d.p.Adapter, names...)
}

func (d document) abilities(into *providers.Abilities) read {
	return func(path string, n node) {
		var can providers.Abilities
		flags := map[string]*bool{
			"stream": &can.Stream, "tools": &can.Tools, "vision": &can.Vision, "audio": &can.Audio,
			"documents": &can.Documents, "json_schema": &can.JSONSchema, "reasoning": &can.Reasoning,
		}
		operations := make(map[string]providers.Operation)
		known := sortedKeys(flags)
		for _, o := range providers.Operations() {
			if o != providers.Chat { // a model that does not name an operation is for chat
				operations[o.String()] = o
				known = append(known, o.String())
			}
		}
		slices.Sort(known)
		d.list(func(path string, n node) {
			var name string
			scalar(d.reader, &name, oneOf(known...))(path, n)
			o, ok := operations[name]
			switch {
			case ok && can.Operation != providers.Chat && can.Operation != o:
				d.fault(path, "a model is for one of %s", strings.Join(sortedKeys(operations), ", "))
			case ok:
				can.Operation = o
			case name != "":
				*flags[name] = true
			}
		})(path, n)
		can.Stream = can.Stream || can.Operation.Streams()
		*into = can
	}
}

func (d document) tokenizer(t *providers.Tokenizer) read {
	return func(path string, n node) {
		d.object(path, n, map[string]read{
			"encoding":         scalar(d.reader, &t.Encoding, oneOf("o200k_base", "cl100k_base")),
			"percent":          scalar(d.reader, &t.Percent, between64(1, 1000)),
			"images":           scalar(d.reader, &t.Images, oneOf("openai-tile", "openai-patch")),
			"image_multiplier": scalar(d.reader, &t.ImageMultiplier, between64(1, 10_000)),
		})
	}
}

// check finds faults that no single member shows. A provider that existed before is checked
// again as a whole.
func (d document) check(path string) {
	p := d.p
	if p.Name == "" {
		d.fault(path, "a provider needs a name")
	}
	d.checkURL(path)
	d.checkAuth(path)
	d.checkQuirks(path)
	upstreams := make(map[string]string)
	for i := range p.Models {
		m := &p.Models[i]
		if other, ok := upstreams[m.Upstream]; ok {
			d.fault(join(path, "models"), "models %s and %s have the same upstream name", other, m.ID)
		}
		upstreams[m.Upstream] = m.ID
		for j := range m.Prices {
			m.Prices[j].Provider, m.Prices[j].Model = p.Name, m.ID
			m.Prices[j].ID = priceID(m.Prices[j])
		}
	}
}

func (d document) checkURL(path string) {
	if d.p.BaseURL == "" {
		d.fault(path, "a provider needs a base_url")
		return
	}
	sample, err := d.p.sample()
	if err != nil {
		d.fault(join(path, "base_url"), "%s", err)
		return
	}
	d.checkAddress(join(path, "base_url"), sample)
}

// checkAddress checks a URL that secrets are sent to.
func (d document) checkAddress(path, at string) {
	check := providers.ValidateBaseURL
	if d.p.Private {
		check = providers.ValidatePrivateURL
	}
	if err := check(at); err != nil {
		d.fault(path, "%s", strings.TrimPrefix(err.Error(), "providers: "))
	}
}

func join(path, name string) string { return strings.TrimPrefix(path+"."+name, ".") }
