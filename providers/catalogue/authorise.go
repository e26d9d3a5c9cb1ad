package catalogue

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"

	"tallyroute/providers"
	"tallyroute/providers/auth"
	"tallyroute/providers/identity"
	"tallyroute/providers/secret"
)

func authKinds() []string {
	return []string{authBearer, authHeader, authAWS, authEntra, authGoogle, authOpenAI, authAnthropic, authNone}
}

// The clouds that can tell the router who it is.
const (
	byAWS    = "aws"
	byAzure  = "azure"
	byGoogle = "google"
)

func (d document) checkAuth(path string) {
	a := &d.p.Auth
	at := join(path, "auth")
	if a.Kind == "" && a.Secret != "" {
		a.Kind = authBearer
	}
	if a.Identity != "" {
		d.checkIdentity(at)
	}
	if a.Server != "" {
		d.checkAddress(at+".server", a.Server)
	}
	exchanged := a.Kind == authOpenAI || a.Kind == authAnthropic
	switch {
	case len(d.p.Credentials) > 0 && (a.Kind == authAWS || a.Kind == authEntra || a.Kind == authNone || a.Identity != ""):
		d.fault(join(path, "credentials"), "cannot be several where auth is of kind %s", a.Kind)
	case len(d.p.Credentials) > 0 && (a.Secret != d.p.Credentials[0].Secret ||
		d.lines[join(path, "api_key")]*d.lines[join(path, "credentials")] > 0):
		d.fault(path, "say credentials, or api_key or the secret of auth, not both")
	case a.Kind == "":
		d.fault(path, "a provider needs an api_key; one that asks for none says auth: {kind: none}, and one whose credentials are "+
			"stored alone is described by: tallyroute providers add")
	case a.Kind == authNone && (a.Secret != "" || a.Header != ""):
		d.fault(at, "of kind none has no secret and no header")
	case exchanged && a.Identity == "":
		d.fault(at, "of kind %s needs an identity: aws, azure, google, or where a token is, such as file:/path", a.Kind)
	case a.Kind != authNone && a.Secret == "" && a.Identity == "":
		d.fault(at, "needs a secret")
	case a.Kind == authHeader && a.Header == "":
		d.fault(at, "of kind header needs a header")
	case a.Kind == authAWS && a.Access == "" && a.Secret != unstored && a.Identity == "":
		d.fault(at, "of kind aws needs an access_key beside the secret, or identity: aws")
	case a.Kind != authAWS && a.Access+a.Session+a.Region+a.Profile != "":
		d.fault(at, "has access_key, session_token, region and profile only where its kind is aws")
	case a.Kind == authEntra && (a.Tenant == "" || a.Client == "") && a.Identity == "":
		d.fault(at, "of kind entra needs a tenant and a client beside the secret, or identity: azure")
	case a.Kind != authEntra && a.Tenant+a.Client+a.Scope != "", a.Server != "" && a.Kind != authEntra && !exchanged:
		d.fault(at, "has tenant, client, scope and server only where its kind is entra")
	case a.Kind == authBearer && a.Header != "":
		d.fault(at, "of kind bearer has no header")
	case !exchanged && a.Workload != (Workload{}):
		d.fault(at, "has audience and the ids of a workload only where its kind is openai or anthropic")
	}
}

// checkIdentity checks the settings for authorising by the router's own identity.
func (d document) checkIdentity(at string) {
	a := &d.p.Auth
	own := map[string]string{authAWS: byAWS, authEntra: byAzure, authGoogle: byGoogle}[a.Kind]
	w := a.Workload
	switch exchanged := a.Kind == authOpenAI || a.Kind == authAnthropic; {
	case own == "" && !exchanged:
		d.fault(at+".identity", "is for the kinds aws, entra, google, openai and anthropic")
	case own != "" && a.Identity != own:
		d.fault(at+".identity", "want %s where the kind is %s", own, a.Kind)
	case exchanged && !slices.Contains([]string{byAWS, byAzure, byGoogle}, a.Identity) && !secret.IsReference(a.Identity):
		d.fault(at+".identity", "want aws, azure, google, or where a token is, such as file:/path")
	case a.Secret+a.Access+a.Session+a.Tenant != "":
		d.fault(at, "has no secret, access_key, session_token and tenant beside an identity")
	case a.Kind == authOpenAI && (w.Provider == "" || w.Account == ""):
		d.fault(at, "of kind openai needs an identity_provider_id and a service_account_id")
	case a.Kind == authAnthropic && (w.Rule == "" || w.Organization == ""):
		d.fault(at, "of kind anthropic needs a federation_rule_id and an organization_id")
	case a.Kind == authOpenAI && w.Rule+w.Organization+w.Workspace != "", a.Kind == authAnthropic && w.Provider != "":
		d.fault(at, "has ids of another kind")
	}
}

// references returns the credentials without which a provider can't be called.
func (a Auth) references() []string {
	switch {
	case a.Kind == authNone:
		return nil
	case a.Identity != "":
		var list []string
		for _, ref := range []string{a.Identity, a.Client} {
			if secret.IsReference(ref) {
				list = append(list, ref)
			}
		}
		return list
	case a.Kind == authAWS:
		return []string{a.Secret, a.Access}
	case a.Kind == authEntra:
		return []string{a.Secret, a.Tenant, a.Client}
	}
	return []string{a.Secret}
}

// refers describes where the only credential of a provider comes from.
func (a Auth) refers() string {
	if a.Identity != "" && !secret.IsReference(a.Identity) {
		return "identity at " + a.Identity
	}
	return cmp.Or(a.Identity, a.Secret, a.Kind)
}

// read returns a source that resolves ref on each call, since the secret may have been
// rotated.
func (b *builder) read(ref string) auth.Source {
	resolve := b.secrets
	return func(ctx context.Context) (string, error) {
		v, err := resolve(ctx, ref)
		return v.Reveal(), err
	}
}

// auth returns how to sign calls. The credential is resolved again for every call, so that a
// rotated one takes effect.
func (b *builder) auth(a Auth, p Provider) providers.Auth {
	source := b.read(a.Secret)
	switch {
	case a.Identity != "":
		return b.identified(a, p)
	case a.Kind == authAWS && a.Access == "":
		return auth.AWS(pair(a.Region, source))
	case a.Kind == authAWS:
		return auth.AWS(auth.Keys{
			Region: a.Region, Access: b.read(a.Access), Secret: source, Session: optional(a.Session, b.read(a.Session)),
		})
	case a.Kind == authEntra:
		l := auth.Login{Tenant: b.read(a.Tenant), Client: b.read(a.Client), Secret: source, Scope: a.Scope, Server: a.Server}
		return auth.Entra(l, b.tokenClient(p))
	case a.Kind == authGoogle:
		return auth.Google(source, b.tokenClient(p))
	case a.Kind == authHeader:
		return auth.Header(a.Header, source)
	case a.Kind == authBearer:
		return auth.Bearer(source)
	}
	return auth.None()
}

// tokenClient returns the client for a provider's authorization server.
func (b *builder) tokenClient(p Provider) *http.Client {
	if p.Private {
		return providers.PrivateTokenClient()
	}
	return providers.TokenClient(b.proxy)
}

// identified returns how to sign calls with the router's own identity.
func (b *builder) identified(a Auth, p Provider) providers.Auth {
	w := a.Workload
	switch a.Kind {
	case authAWS:
		region := cmp.Or(a.Region, auth.RegionOf(p.BaseURL))
		return auth.AWS(auth.Keys{Region: region, Lent: shown(b.host.AWS(region, a.Profile).Retrieve)})
	case authEntra:
		return auth.Bearer(func(ctx context.Context) (string, error) {
			client := ""
			if a.Client != "" {
				var err error
				if client, err = b.read(a.Client)(ctx); err != nil {
					return "", err
				}
			}
			return shown(b.host.Azure(cmp.Or(a.Scope, auth.EntraScope), client))(ctx)
		})
	case authGoogle:
		return auth.Bearer(shown(b.host.Google()))
	case authOpenAI:
		return auth.OpenAI(auth.OpenAIWorkload{
			Identity: b.proof(a, "https://api.openai.com/v1"), Provider: w.Provider, ServiceAccount: w.Account, Server: a.Server,
		}, b.tokenClient(p))
	}
	return auth.Anthropic(auth.AnthropicWorkload{
		Identity: b.proof(a, "https://api.anthropic.com"), Rule: w.Rule, Organization: w.Organization,
		ServiceAccount: w.Account, Workspace: w.Workspace, Server: a.Server,
	}, b.tokenClient(p))
}

// azureAudience is the API for which every Azure identity can get tokens.
const azureAudience = "https://management.azure.com/"

// proof returns a source of tokens from a cloud, a file or a secret manager that prove to an
// audience who the router is.
func (b *builder) proof(a Auth, audience string) auth.Source {
	audience = cmp.Or(a.Workload.Audience, audience)
	switch a.Identity {
	case byAWS:
		return shown(b.host.AWS("", "").Proof(audience))
	case byGoogle:
		return shown(b.host.GoogleProof(audience))
	case byAzure:
		return shown(b.host.Azure(cmp.Or(a.Workload.Audience, azureAudience)+"/.default", ""))
	}
	if name, ok := secret.File(a.Identity); ok {
		return func(context.Context) (string, error) { // which all users in a pod may read
			text, err := os.ReadFile(name)
			return string(text), err
		}
	}
	return b.read(a.Identity)
}

// shown wraps a lookup of the host's identity. It marks errors that mean that nobody could
// answer for now, to tell them from refusals.
func shown[T any, F ~func(context.Context) (T, error)](get F) func(context.Context) (T, error) {
	return func(ctx context.Context) (T, error) {
		given, err := get(ctx)
		if err != nil && identity.Unreachable(err) {
			err = &providers.Error{Kind: providers.KindNetwork, Err: fmt.Errorf("identity: %w", err)}
		}
		return given, err
	}
}
