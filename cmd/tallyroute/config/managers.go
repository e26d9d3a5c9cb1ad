package config

import (
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"tallyroute/providers/secret"
)

func (r *reader) checkSecrets(s Secrets) {
	if s.Refresh < Duration(time.Second) || s.Refresh > Duration(time.Hour) {
		r.fault("secrets.refresh", "want 1s to 1h")
	}
	if s.Previous != "" && s.Key == "" {
		r.fault("secrets.encryption_key", "is needed where there is a previous one")
	}
	if strings.HasPrefix(string(s.AgeIdentity), "age:") {
		r.fault("secrets.age_identity", "want env:NAME or file:/path: it opens what is encrypted")
	}
	r.ownSecret("secrets.age_identity", s.AgeIdentity)
	r.checkVault(s.Vault)
	r.checkConjur(s.Conjur)
	for path, at := range map[string]string{"secrets.aws.endpoint": s.AWS.Endpoint, "secrets.google.endpoint": s.Google.Endpoint} {
		if at != "" && !isService(at) {
			r.fault(path, "want https://HOST; http is for a loopback address alone")
		}
	}
	if s.AWS.Region != "" && !cloudName.MatchString(s.AWS.Region) {
		r.fault("secrets.aws.region", "want a region such as eu-west-1")
	}
	if !cloudName.MatchString(s.Azure.Suffix) {
		r.fault("secrets.azure.suffix", "want the end of the hosts of vaults, such as vault.azure.net")
	}
}

// cloudName matches part of a host name.
var cloudName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,100}[a-z0-9]$`)

func (r *reader) checkConjur(c Conjur) {
	switch {
	case c == (Conjur{}):
		return
	case !isService(c.Address):
		r.fault("secrets.conjur.address", "want https://HOST; http is for a loopback address alone")
	}
	if c.Account == "" {
		r.fault("secrets.conjur.account", "is needed")
	}
	if (c.Login == "") == (c.Service == "") {
		r.fault("secrets.conjur.login", "want either login, for an API key, or service, for a JWT")
	}
	if c.Secret == "" && c.Service == "" {
		r.fault("secrets.conjur.secret", "is needed: a reference to the API key")
	}
	r.ownSecret("secrets.conjur.secret", c.Secret)
}

func (r *reader) checkVault(v Vault) {
	r.oneOf("secrets.vault.auth", v.Auth, "token", "approle", "kubernetes", "jwt")
	switch {
	case v.Address == "":
		if v != (Vault{Auth: v.Auth}) {
			r.fault("secrets.vault.address", "is needed, such as https://vault.example.com:8200")
		}
		return
	case !isService(v.Address):
		r.fault("secrets.vault.address", "want https://HOST:PORT; http is for a loopback address alone")
	}
	if v.Role == "" && v.Auth != "token" {
		r.fault("secrets.vault.role", "is needed for auth: %s", v.Auth)
	}
	if v.Secret == "" && v.Auth != "kubernetes" {
		r.fault("secrets.vault.secret", "is needed for auth: %s", v.Auth)
	}
	r.ownSecret("secrets.vault.secret", v.Secret)
}

// ownSecret refuses manager logins that are themselves kept in a manager.
func (r *reader) ownSecret(path string, ref SecretRef) {
	if _, managed := secret.Managed(string(ref)); managed {
		r.fault(path, "want env:NAME or file:/path: it is what managers are logged in to with")
	}
}

// isService reports whether s is the address of a service that secrets may be sent to.
func isService(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return false
	}
	loopback := u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && loopback
}

// managedSink returns a sink in a secret manager: SCHEME:PREFIX.
func managedSink(name, at string) (s Sink, ok bool) {
	scheme, prefix, found := strings.Cut(at, ":")
	if !found || scheme == "kubernetes" || !slices.Contains(secret.Managers(), scheme) {
		return Sink{}, false
	}
	return Sink{name, scheme, strings.Trim(prefix, "/")}, true
}

// Sink is a place that key secrets are delivered to: one entry of sinks.
type Sink struct {
	Name string // how keys refer to it
	Kind string // file, webhook, kubernetes or the scheme of another secret manager
	At   string // a directory, an address, a namespace or the prefix of places
}

var sinkName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// ParseSink parses NAME=file:/dir, NAME=https://host/path, NAME=kubernetes:NAMESPACE or,
// for other managers, NAME=SCHEME:PREFIX.
func ParseSink(text string) (s Sink, ok bool) {
	name, at, found := strings.Cut(text, "=")
	if !found || !sinkName.MatchString(name) {
		return Sink{}, false
	}
	if dir, ok := strings.CutPrefix(at, "file:"); ok {
		return Sink{name, "file", dir}, filepath.IsAbs(dir)
	}
	if namespace, ok := strings.CutPrefix(at, "kubernetes:"); ok {
		return Sink{name, "kubernetes", namespace}, namespace == "" || sinkName.MatchString(namespace)
	}
	if s, ok := managedSink(name, at); ok {
		return s, true
	}
	u, err := url.Parse(at)
	if err != nil || u.Host == "" || u.User != nil {
		return Sink{}, false
	}
	loopback := u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback()
	return Sink{name, "webhook", at}, u.Scheme == "https" || (u.Scheme == "http" && loopback)
}

func (r *reader) checkSinks(cfg *Config) {
	names := map[string]bool{}
	for _, text := range cfg.Sinks {
		s, ok := ParseSink(text)
		switch {
		case !ok:
			r.fault("sinks", "want NAME=file:/DIRECTORY, NAME=https://HOST/PATH, NAME=kubernetes:NAMESPACE or NAME=vault:MOUNT/data/PATH")
		case names[s.Name]:
			r.fault("sinks", "has %s twice", s.Name)
		case s.Kind == "webhook" && cfg.WebhookSecret == "":
			r.fault("webhook_secret", "is needed for the sink %s, which is called by HTTP", s.Name)
		}
		names[s.Name] = true
	}
}

// SinkNames returns the names of the sinks.
func (c *Config) SinkNames() []string {
	names := make([]string, 0, len(c.Sinks))
	for _, text := range c.Sinks {
		if s, ok := ParseSink(text); ok {
			names = append(names, s.Name)
		}
	}
	return names
}
