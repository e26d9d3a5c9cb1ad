package main

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tallyroute/billing"
)

// duration is a time.Duration that is also written in days and weeks: "90d",
// "1w", "24h", "1d12h".
type duration time.Duration

func seconds(n int) duration { return duration(time.Duration(n) * time.Second) }

// UnmarshalText reads a duration.
func (d *duration) UnmarshalText(text []byte) error {
	v, err := parseDuration(string(text))
	if err == nil {
		*d = duration(v)
	}
	return err
}

// MarshalText writes a duration as Go does.
func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

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

// lifetime is how long something is kept; 0, written "off", is not at all.
type lifetime time.Duration

// UnmarshalText reads a duration or "off".
func (l *lifetime) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*l = 0
		return nil
	}
	v, err := parseDuration(string(text))
	if err != nil || v <= 0 {
		return errors.New("want a duration such as 24h or 7d, or off")
	}
	*l = lifetime(v)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (l lifetime) MarshalText() ([]byte, error) {
	if l == 0 {
		return []byte("off"), nil
	}
	return []byte(time.Duration(l).String()), nil
}

// usd is an amount of money in decimal dollars.
type usd billing.Money

// UnmarshalText reads decimal dollars.
func (u *usd) UnmarshalText(text []byte) error {
	m, err := billing.ParseMoney(string(text))
	if err != nil || m < 0 {
		return errors.New("want an amount in dollars such as 50 or 0.25")
	}
	*u = usd(m)
	return nil
}

// MarshalText writes decimal dollars.
func (u usd) MarshalText() ([]byte, error) { return []byte(billing.Money(u).Short()), nil }

// signedUSD is an amount in decimal dollars that may be negative.
type signedUSD billing.Money

// UnmarshalText reads decimal dollars such as -1.50.
func (u *signedUSD) UnmarshalText(text []byte) error {
	m, err := billing.ParseMoney(string(text))
	if err != nil {
		return errors.New("want an amount in dollars such as 50 or -0.25")
	}
	*u = signedUSD(m)
	return nil
}

// money is the amount, nil where none was given.
func (u *usd) money() *billing.Money { return (*billing.Money)(u) }

// prefix is an address range; a lone address is a range of one.
type prefix netip.Prefix

// UnmarshalText reads 10.0.0.0/8 or 10.1.2.3.
func (p *prefix) UnmarshalText(text []byte) error {
	if addr, err := netip.ParseAddr(string(text)); err == nil && addr.Zone() == "" {
		*p = prefix(netip.PrefixFrom(addr, addr.BitLen()))
		return nil
	}
	v, err := netip.ParsePrefix(string(text))
	if err != nil {
		return errors.New("want an address range such as 10.0.0.0/8")
	}
	*p = prefix(v.Masked())
	return nil
}

// MarshalText writes the range.
func (p prefix) MarshalText() ([]byte, error) { return netip.Prefix(p).MarshalText() }

func prefixes(list []prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		out = append(out, netip.Prefix(p))
	}
	return out
}

// dsn says where the database is. It may hold a password, so it prints without.
type dsn string

// String is the place without its password and parameters.
func (d dsn) String() string {
	scheme, rest, _ := strings.Cut(string(d), ":")
	switch scheme {
	case "sqlite", "env", "file":
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
	_ = rest
	return "…"
}

// GoString is String, so that %#v does not tell more.
func (d dsn) GoString() string { return d.String() }

// MarshalText is String: what is printed is masked.
func (d dsn) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// postgres reports whether the database is a PostgreSQL server.
func (d dsn) postgres() bool {
	return strings.HasPrefix(string(d), "postgres://") || strings.HasPrefix(string(d), "postgresql://")
}

// sqlitePath is the file of a SQLite database.
func (d dsn) sqlitePath() (string, error) {
	path, ok := strings.CutPrefix(string(d), "sqlite:")
	if !ok || path == "" {
		return "", fmt.Errorf("database: want sqlite:PATH or postgres://…")
	}
	return strings.TrimPrefix(path, "//"), nil
}
