package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/policy"
	"tallyroute/providers"
	"tallyroute/providers/secret"
)

// Duration is a time.Duration that can also be written in days and weeks: "90d", "1w",
// "24h", "1d12h".
type Duration time.Duration

func seconds(n int) Duration { return Duration(time.Duration(n) * time.Second) }

// UnmarshalText parses a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := parseDuration(string(text))
	if err == nil {
		*d = Duration(v)
	}
	return err
}

// MarshalText writes a duration as Go does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

var errDuration = errors.New("want a duration such as 30s, 24h or 90d")

func parseDuration(s string) (time.Duration, error) {
	var sum time.Duration
	rest := s
	for _, unit := range []struct {
		name string
		span time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		count, after, found := strings.Cut(rest, unit.name)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(count, 10, 14)
		if err != nil {
			return 0, errDuration
		}
		sum += time.Duration(n) * unit.span
		rest = after
	}
	if rest == "" && s != "" {
		return sum, nil
	}
	v, err := time.ParseDuration(rest)
	if err != nil || v < 0 {
		return 0, errDuration
	}
	return sum + v, nil
}

// Lifetime is how long something is kept; 0, written "off", means not at all.
type Lifetime time.Duration

// UnmarshalText parses a duration or "off".
func (l *Lifetime) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*l = 0
		return nil
	}
	v, err := parseDuration(string(text))
	if err != nil || v <= 0 {
		return errors.New("want a duration such as 24h or 7d, or off")
	}
	*l = Lifetime(v)
	return nil
}

// MarshalText writes what UnmarshalText parses.
func (l Lifetime) MarshalText() ([]byte, error) {
	if l == 0 {
		return []byte("off"), nil
	}
	return []byte(time.Duration(l).String()), nil
}

// USD is an amount of money in decimal dollars.
type USD billing.Money

// UnmarshalText parses decimal dollars.
func (u *USD) UnmarshalText(text []byte) error {
	m, err := billing.ParseMoney(string(text))
	if err != nil || m < 0 {
		return errors.New("want an amount in dollars such as 50 or 0.25")
	}
	*u = USD(m)
	return nil
}

// MarshalText writes decimal dollars.
func (u USD) MarshalText() ([]byte, error) { return []byte(billing.Money(u).Short()), nil }

// SignedUSD is an amount in decimal dollars that may be negative.
type SignedUSD billing.Money

// UnmarshalText parses decimal dollars such as -1.50.
func (u *SignedUSD) UnmarshalText(text []byte) error {
	m, err := billing.ParseMoney(string(text))
	if err != nil {
		return errors.New("want an amount in dollars such as 50 or -0.25")
	}
	*u = SignedUSD(m)
	return nil
}

// Money returns the amount; nil if none was given.
func (u *USD) Money() *billing.Money { return (*billing.Money)(u) }

// Prefix is an address range; a single address is a range of one.
type Prefix netip.Prefix

// UnmarshalText parses 10.0.0.0/8 or 10.1.2.3.
func (p *Prefix) UnmarshalText(text []byte) error {
	v, ok := policy.ParseRange(string(text))
	if !ok {
		return errors.New("want an address range such as 10.0.0.0/8")
	}
	*p = Prefix(v)
	return nil
}

// MarshalText writes the range.
func (p Prefix) MarshalText() ([]byte, error) { return netip.Prefix(p).MarshalText() }

// Prefixes converts a list of ranges.
func Prefixes(list []Prefix) []netip.Prefix {
	if list == nil {
		return nil
	}
	out := make([]netip.Prefix, 0, len(list))
	for _, p := range list {
		out = append(out, netip.Prefix(p))
	}
	return out
}

// DSN says where the database is. It may contain a password, which is left out when it is
// printed.
type DSN string

// String returns the DSN without its password and parameters.
func (d DSN) String() string {
	scheme, _, _ := strings.Cut(string(d), ":")
	if secret.IsReference(string(d)) {
		return string(d)
	}
	switch scheme {
	case "sqlite":
		return string(d)
	case "postgres", "postgresql":
		u, err := url.Parse(string(d))
		if err != nil {
			return scheme + "://…"
		}
		masked := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
		if name := u.User.Username(); name != "" {
			masked.User = url.User(name)
		}
		return masked.String()
	}
	return "…"
}

// GoString is String, so that %#v doesn't reveal more.
func (d DSN) GoString() string { return d.String() }

// MarshalText is String: the printed form is masked.
func (d DSN) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// IsPostgres reports whether the database is a PostgreSQL server.
func (d DSN) IsPostgres() bool {
	return strings.HasPrefix(string(d), "postgres://") || strings.HasPrefix(string(d), "postgresql://")
}

// SQLitePath returns the file of an SQLite database.
func (d DSN) SQLitePath() (string, error) {
	path, ok := strings.CutPrefix(string(d), "sqlite:")
	if !ok || path == "" {
		return "", fmt.Errorf("database: want sqlite:PATH or postgres://…")
	}
	return strings.TrimPrefix(path, "//"), nil
}

// Missing reports whether the SQLite file doesn't exist, and where it would be.
func (d DSN) Missing() (path string, missing bool) {
	path, err := d.SQLitePath()
	if err != nil {
		return "", false
	}
	_, err = os.Stat(path)
	return path, errors.Is(err, fs.ErrNotExist)
}

// SecretRef says where a credential is; the credential itself is never part of the
// configuration.
type SecretRef string

// UnmarshalText refuses anything that isn't a reference, without repeating it.
func (s *SecretRef) UnmarshalText(text []byte) error {
	if len(text) > 0 && !secret.IsReference(string(text)) {
		return errors.New("want a reference such as env:NAME, file:/path or vault:kv/data/path#field, not the secret itself")
	}
	*s = SecretRef(text)
	return nil
}

// ProxyRef is the proxy to use for providers: an address without a password, the word
// "environment", or a reference to an address.
type ProxyRef string

// UnmarshalText refuses anything else, without repeating it.
func (p *ProxyRef) UnmarshalText(text []byte) error {
	*p = ProxyRef(text)
	if secret.IsReference(string(text)) {
		return nil
	}
	if u, err := url.Parse(string(text)); err != nil || u.User != nil {
		return errors.New("want http://host:port, environment, or a reference such as env:NAME where it holds a password")
	}
	_, err := providers.NewProxy(string(text))
	return err
}
