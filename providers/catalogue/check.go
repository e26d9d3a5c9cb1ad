package catalogue

import (
	"strings"

	"tallyroute/providers"
)

// check finds what no single member shows. A provider that was there before is
// checked as a whole again.
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
	check := providers.ValidateBaseURL
	if d.p.Private {
		check = providers.ValidatePrivateURL
	}
	if d.p.BaseURL == "" {
		d.fault(path, "a provider needs a base_url")
		return
	}
	sample, err := d.p.sample()
	if err == nil {
		err = check(sample)
	}
	if err != nil {
		d.fault(join(path, "base_url"), "%s", strings.TrimPrefix(err.Error(), "providers: "))
	}
}

func (d document) checkAuth(path string) {
	a := &d.p.Auth
	at := join(path, "auth")
	if a.Kind == "" && a.Secret != "" {
		a.Kind = authBearer
	}
	switch {
	case len(d.p.Credentials) > 0 && (a.Kind == authAWS || a.Kind == authEntra || a.Kind == authNone):
		d.fault(join(path, "credentials"), "cannot be several where auth is of kind %s", a.Kind)
	case len(d.p.Credentials) > 0 && (a.Secret != d.p.Credentials[0].Secret ||
		d.lines[join(path, "api_key")]*d.lines[join(path, "credentials")] > 0):
		d.fault(path, "say credentials, or api_key or the secret of auth, not both")
	case a.Kind == "":
		d.fault(path, "a provider needs an api_key; one that asks for none says auth: {kind: none}")
	case a.Kind == authNone && (a.Secret != "" || a.Header != ""):
		d.fault(at, "of kind none has no secret and no header")
	case a.Kind != authNone && a.Secret == "":
		d.fault(at, "needs a secret")
	case a.Kind == authHeader && a.Header == "":
		d.fault(at, "of kind header needs a header")
	case a.Kind == authAWS && a.Access == "":
		d.fault(at, "of kind aws needs an access_key beside the secret")
	case a.Kind != authAWS && a.Access+a.Session+a.Region != "":
		d.fault(at, "has access_key, session_token and region only where its kind is aws")
	case a.Kind == authEntra && (a.Tenant == "" || a.Client == ""):
		d.fault(at, "of kind entra needs a tenant and a client beside the secret")
	case a.Kind != authEntra && a.Tenant+a.Client+a.Scope+a.Server != "":
		d.fault(at, "has tenant, client, scope and server only where its kind is entra")
	case a.Kind == authBearer && a.Header != "":
		d.fault(at, "of kind bearer has no header")
	}
}

func join(path, name string) string { return strings.TrimPrefix(path+"."+name, ".") }
