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
)

// ProxyEnvironment is the setting that takes the proxy from the environment, as other
// programs do: HTTPS_PROXY and NO_PROXY.
const ProxyEnvironment = "environment"

// Proxy is the way to public providers, and to the authorization servers of some, where
// there is no direct one. Providers that are declared private are called without it.
type Proxy struct {
	pick   func(*http.Request) (*url.URL, error)
	dialed sync.Map // addresses of proxies, which need not be public
}

var errProxy = errors.New("providers: want the proxy as http://host:port or https://host:port, or " + ProxyEnvironment)

// NewProxy reads a setting: an address, ProxyEnvironment, or "" for none, which is nil.
// Its error does not repeat what may hold a password.
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

// choose is the proxy for a request, once the host that it is for was checked: the
// proxy would connect to any.
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

// checkPublic refuses a host that is known not to be public. One that cannot be resolved
// here may be by the proxy.
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

// through has a transport use p, whose own address is dialled unguarded.
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
