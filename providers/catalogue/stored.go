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

// unstored is the reference of a provider for which none is stored yet.
const unstored = StoredPrefix

// Stored is a provider that an administrator has described.
type Stored struct {
	Name string
	Text string // as a file of its own would be, without references to secrets
}

// JSON is a document in YAML as JSON. Its error does not repeat the text, which may hold a
// credential by mistake.
func JSON(text []byte) (json.RawMessage, error) {
	raw, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, errors.New("not valid YAML")
	}
	return raw, nil
}

// file is how faults name it.
func (s Stored) file() string { return "stored provider " + s.Name }

// FaultsOf are those of a stored provider.
func (f Faults) FaultsOf(name string) Faults {
	return slices.DeleteFunc(slices.Clone(f), func(one Fault) bool { return one.File != Stored{Name: name}.file() })
}

// Described are the providers that a configuration describes.
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
		// What belongs to one host is not sent to another because somebody who may not read it says so.
		l.Auth.Secret, l.Auth.Identity, l.Credentials = unstored, "", nil
		if l.Auth.Kind == authAWS {
			l.Auth.Access, l.Auth.Session = unstored, ""
		}
	}
	all[i].stored = true
	return all
}

// refersToNothing refuses what would have the router send what its host knows to where a
// document says: only who writes the configuration may name that.
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

// addStored puts the stored credentials of a provider beside its own. One that stands alone
// may be missing.
func (b *builder) addStored(ctx context.Context, l *loaded, missing error) {
	stored := b.stored[l.Name]
	if len(stored) == 0 || l.Auth.Kind == authNone || l.Auth.Identity != "" {
		return
	}
	for _, ref := range []string{l.Auth.Tenant, l.Auth.Client} {
		if _, err := b.secrets(ctx, ref); ref != "" && err != nil {
			return // it takes more than a secret
		}
	}
	l.Credentials = slices.Clone(l.Credentials)
	if len(l.Credentials) == 0 && missing == nil {
		l.Credentials = append(l.Credentials, Credential{Secret: l.Auth.Secret, Weight: 1})
	}
	l.Credentials = append(l.Credentials, stored...)
}

// CredentialStatus is a credential of the documents and the configuration.
type CredentialStatus struct {
	Provider string
	Name     string // as rows of the ledger name it; "" is the only one of its provider
	Owner    string
	Refers   string // to where it is
	Weight   int
	Why      string // it is not there
}

// Credentials are those of the documents and of the configuration: those that are there,
// and those that the configuration names.
func (c *Catalogue) Credentials() []CredentialStatus { return slices.Clone(c.credentials) }

// AdminAPI is where a provider makes keys.
type AdminAPI struct {
	KeyAdmin
	BaseURL string
	Private bool
}

// KeyAdmin is the admin API of a provider, if the configuration names one.
func (c *Catalogue) KeyAdmin(provider string) (AdminAPI, bool) {
	a, ok := c.admins[provider]
	return a, ok
}

// errPair is a stored credential of AWS that is not one.
var errPair = errors.New("auth: want ACCESS_KEY_ID:SECRET_ACCESS_KEY, or those two and :SESSION_TOKEN")

// pair are the keys of AWS in one stored secret.
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

// Takes refuses the text of a credential with which a provider cannot be called.
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

// Cheapest is the model of a provider that chats for the least, as its output is priced;
// one without a price, where there is no other.
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
