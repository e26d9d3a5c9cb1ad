package catalogue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/auth"
)

// StoredPrefix begins references to credentials that administrators have stored.
const StoredPrefix = "stored:"

// unstored is the reference of a provider for which no credential is stored yet.
const unstored = StoredPrefix

// Stored is a provider that an administrator has described.
type Stored struct {
	Name string
	Text string // in the form of a file of its own, without references to secrets
}

// JSON converts a YAML document to JSON. The error does not repeat the text, which may hold a
// credential by mistake.
func JSON(text []byte) (json.RawMessage, error) {
	raw, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, errors.New("not valid YAML")
	}
	return raw, nil
}

// file returns the name that faults use for it.
func (s Stored) file() string { return "stored provider " + s.Name }

// FaultsOf returns the faults of a stored provider.
func (f Faults) FaultsOf(name string) Faults {
	return slices.DeleteFunc(slices.Clone(f), func(one Fault) bool { return one.File != Stored{Name: name}.file() })
}

// Described returns the names of the providers that a configuration describes.
func Described(text string) (names []string) {
	r := newReader("")
	for _, l := range r.operatorProviders(text, nil) {
		names = append(names, l.Name)
	}
	return names
}

// storedProvider reads a document over the built-in one with its name, or as a new one.
func (r *reader) storedProvider(s Stored, all []loaded) []loaded {
	i := slices.IndexFunc(all, func(l loaded) bool { return l.Name == s.Name })
	if i < 0 {
		i = len(all)
		all = append(all, loaded{Provider: blank(s.Name)})
		all[i].Auth.Secret = unstored
		all[i].Auth.Access = ""
	}
	was := all[i].BaseURL
	r.document(s.Text, func(path string, n node) {
		r.refersToNothing(path, n)
		all = r.overlay(path, n, s.Name, all)
	})
	if l := &all[i]; l.BaseURL != was && l.Auth.Kind != authNone {
		// A credential of one host must not be sent to another by someone who may not read it.
		l.Auth.Secret, l.Auth.Identity, l.Credentials = unstored, "", nil
		if l.Auth.Kind == authAWS {
			l.Auth.Access, l.Auth.Session = unstored, ""
		}
	}
	all[i].stored = true
	return all
}

// refersToNothing refuses settings that would make the router send its host's secrets to
// wherever a document says. Only those who write the configuration may name them.
func (r *reader) refersToNothing(path string, n node) {
	const why = "only the configuration may refer to secrets and identities of its host: leave it out, and store a credential"
	for _, name := range []string{"api_key", "credentials", "variables", "key_admin"} {
		r.member(path, n, name, func(path string, _ node) { r.fault(path, why) })
	}
	r.member(path, n, "auth", func(path string, n node) {
		for _, name := range []string{"secret", "access_key", "session_token", "tenant", "client", "server", "identity", "profile"} {
			r.member(path, n, name, func(path string, _ node) { r.fault(path, why) })
		}
		var kind string
		r.member(path, n, "kind", scalar(r, &kind, func(s string) (string, error) { return s, nil }))
		if kind != "" && !slices.Contains([]string{authBearer, authHeader, authAWS, authGoogle, authNone}, kind) {
			r.fault(join(path, "kind"), why)
		}
	})
}

// addStored adds a provider's stored credentials to its own. If a provider has only one of
// its own, that one may be missing.
func (b *builder) addStored(ctx context.Context, l *loaded, missing error) {
	stored := b.stored[l.Name]
	if len(stored) == 0 || l.Auth.Kind == authNone || l.Auth.Identity != "" {
		return
	}
	for _, ref := range []string{l.Auth.Tenant, l.Auth.Client} {
		if _, err := b.secrets(ctx, ref); ref != "" && err != nil {
			return // it needs more than a secret
		}
	}
	l.Credentials = slices.Clone(l.Credentials)
	if len(l.Credentials) == 0 && missing == nil {
		l.Credentials = append(l.Credentials, Credential{Secret: l.Auth.Secret, Weight: 1})
	}
	l.Credentials = append(l.Credentials, stored...)
}

// CredentialStatus describes a credential from the documents or the configuration.
type CredentialStatus struct {
	Provider string
	Name     string // the name in ledger rows; "" for the only one of its provider
	Owner    string
	Refers   string // the place that it refers to
	Weight   int
	Why      string // why it is not available
}

// Credentials returns the credentials from the documents and the configuration: available
// ones, and all that the configuration names.
func (c *Catalogue) Credentials() []CredentialStatus { return slices.Clone(c.credentials) }

// AdminAPI is where a provider creates keys.
type AdminAPI struct {
	KeyAdmin
	BaseURL string
	Private bool
}

// KeyAdmin returns the admin API of a provider, if the configuration names one.
func (c *Catalogue) KeyAdmin(provider string) (AdminAPI, bool) {
	a, ok := c.admins[provider]
	return a, ok
}

// errPair reports a stored AWS credential of the wrong form.
var errPair = errors.New("auth: want ACCESS_KEY_ID:SECRET_ACCESS_KEY, or those two and :SESSION_TOKEN")

// pair returns the AWS keys in one stored secret.
func pair(region string, from auth.Source) auth.Keys {
	part := func(i int) auth.Source {
		return func(ctx context.Context) (string, error) {
			text, err := from(ctx)
			if err != nil {
				return "", err
			}
			parts := strings.SplitN(text, ":", 3)
			if len(parts) < 2 {
				return "", errPair
			}
			if i >= len(parts) {
				return "", nil
			}
			return parts[i], nil
		}
	}
	return auth.Keys{Region: region, Access: part(0), Secret: part(1), Session: part(2)}
}

// Takes returns an error if a provider can't be called with the given credential.
func (c *Catalogue) Takes(provider, text string) error {
	a, known := c.auths[provider]
	switch {
	case !known:
		return fmt.Errorf("there is no provider %q", provider)
	case a.Kind == authNone:
		return errors.New("the provider asks for no credential")
	case a.inHeader() && !auth.Fits(text):
		return errUnfit
	case a.Kind == authAWS && strings.Count(text, ":") == 0:
		return errors.New(strings.TrimPrefix(errPair.Error(), "auth: "))
	case a.Identity != "":
		return errors.New("the provider is called by the identity of the router, and not with a secret")
	}
	return nil
}

// Cheapest returns the chat model of a provider with the cheapest output, or one without a
// price if there is no other.
func (c *Catalogue) Cheapest(provider string) (best providers.Target, ok bool) {
	var least billing.Money
	for _, name := range c.names {
		r := c.routes[name]
		if !r.pinned || r.targets[0].Provider != provider || r.targets[0].Can.Operation != providers.Chat {
			continue
		}
		cost := billing.Money(math.MaxInt64)
		if p, priced := c.book.At(provider, r.targets[0].Model, c.now()).Listed("", 0); priced {
			cost = p.Output
		}
		if !ok || cost < least {
			best, least, ok = r.targets[0], cost, true
		}
	}
	return best, ok
}
