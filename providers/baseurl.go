package providers

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// ValidateBaseURL refuses a base URL that is not plainly the https address of a
// public host. It resolves no names: where they lead is checked at each dial.
func ValidateBaseURL(raw string) error {
	u, err := parseBase(raw)
	if err != nil {
		return err
	}
	host := u.Hostname()
	if u.Scheme != "https" {
		return urlError("must begin with https:// unless the provider has private: true")
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if !public(a) {
			return fmt.Errorf("%w: base URL at %s", ErrNotPublic, a)
		}
		return nil
	}
	top := host[strings.LastIndexByte(host, '.')+1:]
	if top == host || strings.EqualFold(top, "localhost") || strings.EqualFold(top, "internal") || strings.EqualFold(top, "local") {
		return fmt.Errorf("%w: base URL at %s", ErrNotPublic, host)
	}
	return nil
}

// ValidatePrivateURL is ValidateBaseURL for a provider that is declared private:
// http and any address are allowed.
func ValidatePrivateURL(raw string) error {
	_, err := parseBase(raw)
	return err
}

// parseBase accepts only URLs that every parser reads alike.
func parseBase(raw string) (*url.URL, error) {
	for i := range len(raw) {
		if c := raw[i]; c <= ' ' || c >= 0x7f || c == '\\' || c == '%' {
			return nil, urlError("may hold only plain ASCII; write an international name in its xn-- form")
		}
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, urlError("is not a URL") // url.Error would repeat it, and with it a password
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, urlError("must begin with https://")
	case u.User != nil:
		return nil, urlError("must not hold a user or password; use auth")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(raw, "#"):
		return nil, urlError("must not hold a query or fragment")
	case strings.HasSuffix(raw, "/"):
		return nil, urlError("must not end in a slash")
	case !plainPath(u.Path):
		return nil, urlError("has a path with empty, . or .. segments")
	}
	return u, checkHost(u)
}

func checkHost(u *url.URL) error {
	host := u.Hostname()
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return urlError("has a port that is none")
		}
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Zone() != "" {
			return urlError("must not name a network interface")
		}
		return nil
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return urlError("has a host that is none")
		}
	}
	// Some resolvers read a name whose last label is a number as an IPv4 address
	// in octal, in hexadecimal, or with parts left out.
	if last := strings.ToLower(labels[len(labels)-1]); strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		return urlError("has an address that is not written as four numbers from 0 to 255")
	}
	return nil
}

// plainPath reports whether every server would read a path alike: it has no
// empty, . or .. segments.
func plainPath(path string) bool {
	if strings.Contains(path, "//") {
		return false
	}
	for s := range strings.SplitSeq(path, "/") {
		if s == "." || s == ".." {
			return false
		}
	}
	return true
}

func urlError(what string) error { return errors.New("providers: base URL " + what) }
