package providers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"syscall"
)

// ProxyEnvironment is the setting that takes the proxy from the environment variables that
// other programs use: HTTPS_PROXY and NO_PROXY.
const ProxyEnvironment = "environment"

// Proxy is the route to public providers, and to the authorization servers of some, where
// there is no direct one. Providers declared private are called without it.
type Proxy struct {
	pick   func(*http.Request) (*url.URL, error)
	dialed sync.Map // addresses of proxies, which need not be public
}

var errProxy = errors.New("providers: want the proxy as http://host:port or https://host:port, or " + ProxyEnvironment)

// NewProxy reads a setting: an address, ProxyEnvironment, or "" for no proxy, which returns
// nil. Its error does not repeat the setting, which may contain a password.
func NewProxy(setting string) (*Proxy, error) {
	if setting == "" {
		return nil, nil
	}
	if setting == ProxyEnvironment {
		return &Proxy{pick: http.ProxyFromEnvironment}, nil
	}
	u, err := url.Parse(setting)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" {
		return nil, errProxy
	}
	return &Proxy{pick: http.ProxyURL(u)}, nil
}

// choose returns the proxy for a request, after checking the host that the request is for:
// the proxy itself would connect to any host.
func (p *Proxy) choose(r *http.Request) (*url.URL, error) {
	u, err := p.pick(r)
	if u == nil || err != nil {
		return nil, err
	}
	if err := checkPublic(r.Context(), r.URL.Hostname()); err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443"}[u.Scheme]
	}
	if port == "" {
		port = "80"
	}
	p.dialed.Store(net.JoinHostPort(u.Hostname(), port), true)
	return u, nil
}

// checkPublic refuses a host that is known not to be public. A host that cannot be resolved
// here passes, because the proxy may be able to resolve it.
func checkPublic(ctx context.Context, host string) error {
	if a, err := netip.ParseAddr(host); err == nil {
		if !public(a) {
			return fmt.Errorf("%w: %s", ErrNotPublic, a)
		}
		return nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	for _, a := range found {
		if !public(a) {
			return fmt.Errorf("%w: %s", ErrNotPublic, a)
		}
	}
	return nil
}

// through makes a transport use p. The proxy's own address is dialled unguarded.
func (p *Proxy) through(t *http.Transport, unguarded net.Dialer) {
	if p == nil {
		return
	}
	guarded := t.DialContext
	t.Proxy = p.choose
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if _, ours := p.dialed.Load(address); ours {
			return unguarded.DialContext(ctx, network, address)
		}
		return guarded(ctx, network, address)
	}
}

// ErrNotPublic is returned when a connection is refused because it would have led to an
// address that is not on the public internet.
var ErrNotPublic = errors.New("providers: not a public address; a provider that is meant to be there needs private: true")

// PublicOnly makes a dialer refuse connections to addresses that are not public, whatever
// name they were resolved from.
func PublicOnly(d *net.Dialer) { d.Control = guard }

// guard refuses connections to addresses that are not public. It sees each address as it is
// dialled, after names and unusual spellings have been resolved.
func guard(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("providers: dial %s: %w", address, err)
	}
	if !public(to.Addr()) {
		return fmt.Errorf("%w: %s", ErrNotPublic, to.Addr())
	}
	return nil
}

// public reports whether an address is on the public internet.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if a.Is6() && !globalUnicast.Contains(a) {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return a.IsValid()
}

var (
	// nat64 carries an IPv4 address in its last four bytes. IPv6-only networks reach public
	// providers through it.
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
	// globalUnicast is all the address space that IPv6 has allocated. Anything outside it is
	// loopback, link-local, unique local, multicast, mapped or unused.
	globalUnicast = netip.MustParsePrefix("2000::/3")
	// special holds the ranges in IANA's special-purpose address registries.
	special = prefixes(
		"0.0.0.0/8",       // this network
		"10.0.0.0/8",      // private
		"100.64.0.0/10",   // carrier-grade NAT, and the metadata service of some clouds
		"127.0.0.0/8",     // loopback
		"169.254.0.0/16",  // link-local, and the metadata service of most clouds
		"172.16.0.0/12",   // private
		"192.0.0.0/24",    // protocol assignments
		"192.0.2.0/24",    // documentation
		"192.88.99.0/24",  // 6to4 relays
		"192.168.0.0/16",  // private
		"198.18.0.0/15",   // benchmarks
		"198.51.100.0/24", // documentation
		"203.0.113.0/24",  // documentation
		"224.0.0.0/4",     // multicast
		"240.0.0.0/4",     // reserved, and broadcast
		"2001::/23",       // protocol assignments: Teredo and other tunnels
		"2001:db8::/32",   // documentation
		"2002::/16",       // 6to4: an IPv4 address in the next four bytes
		"3fff::/20",       // documentation
	)
)

func prefixes(list ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(list))
	for i, s := range list {
		all[i] = netip.MustParsePrefix(s)
	}
	return all
}
