package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/metrics"
	"tallyroute/router/certificate"
	"tallyroute/router/web"
)

// listener is an HTTP server and the socket that it serves.
type listener struct {
	name string
	http *http.Server
	net  net.Listener
	cert *certificate.Keeper // nil speaks plain HTTP
}

// listen opens the socket at once, so that an address already in use is noticed before
// anything starts.
func listen(ctx context.Context, name, address string, h *http.Server) (*listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &listener{name: name, http: h, net: l}, nil
}

// adminHosts returns the host names under which the admin listener may be called: those in
// the configuration, the name of the machine or container, and the one that it listens on.
func adminHosts(c *config.Config) []string {
	hosts := slices.Clone(c.AdminHosts)
	if name := loginHost(c); name != "" {
		hosts = append(hosts, strings.ToLower(name))
	}
	if name, err := os.Hostname(); err == nil {
		hosts = append(hosts, strings.ToLower(name))
	}
	if host, _, err := net.SplitHostPort(c.AdminListen); err == nil && host != "" {
		hosts = append(hosts, strings.ToLower(host))
	}
	return hosts
}

// loginHost returns the host name by which browsers reach the admin listener; "" if there
// is none.
func loginHost(c *config.Config) string {
	u, err := url.Parse(c.Login.URL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func (l *listener) address() string { return l.net.Addr().String() }

// close makes the listener stop accepting; existing connections stay open.
func (l *listener) close() { _ = l.net.Close() }

// serve answers until the listener is closed or shut down.
func (l *listener) serve() error {
	serve := func() error { return l.http.Serve(l.net) }
	if l.cert != nil {
		l.http.TLSConfig = l.cert.Config()
		serve = func() error { return l.http.ServeTLS(l.net, "", "") }
	}
	if err := serve(); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	return nil
}

// encrypt makes the listener speak TLS if there is a certificate. tell is called for
// plain-text requests.
func (l *listener) encrypt(cert *certificate.Keeper, tell func(*http.Request)) {
	if cert != nil {
		l.cert, l.net = cert, web.Encrypted(l.net, tell)
	}
}

// PublicURL returns the URL of the configured public listener.
func PublicURL(c *config.Config) string { return scheme(c.TLS.CertFile) + Reachable(c.Listen) }

// AdminURL returns the URL of the configured admin listener.
func AdminURL(c *config.Config) string { return scheme(c.AdminTLS.CertFile) + Reachable(c.AdminListen) }

// scheme returns the URL scheme of a listener with the given certificate file ("" for
// none).
func scheme(certFile string) string {
	if certFile == "" {
		return "http://"
	}
	return "https://"
}

// OwnTransport returns a transport for calling a listener on this host that has the given
// certificate file ("" for none).
func OwnTransport(certFile string) http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // the library says so
	t.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		settings, err := certificate.Pin(certFile)
		if err != nil {
			return nil, err
		}
		return (&tls.Dialer{Config: settings}).DialContext(ctx, network, address)
	}
	return t
}

// Reachable returns an address to connect to for a listen address: 0.0.0.0 or no host at
// all means every address, so it becomes the loopback address.
func Reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

const (
	// nextRequest is how long we wait after a response for the client's next request on the
	// same connection: most clients keep a connection for five seconds.
	nextRequest = 5 * time.Second
	// settleGrace is how long the ledger may take at shutdown for what is left, and
	// endGrace how long everything else may take.
	settleGrace = 5 * time.Second
	endGrace    = 8 * time.Second
)

// Wait sleeps for d and reports whether ctx is still alive afterwards.
func Wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return ctx.Err() == nil
	}
}

// certificates holds the listeners' certificates; nil where a listener speaks plain HTTP.
type certificates struct{ public, admin *certificate.Keeper }

// CertificatesOf returns the certificate files of the listeners that speak TLS, by setting.
func CertificatesOf(c *config.Config) map[string]certificate.Files {
	all := make(map[string]certificate.Files)
	if c.TLS.On() {
		all["tls"] = certificate.Files{Cert: c.TLS.CertFile, Key: c.TLS.KeyFile, Oldest: c.TLS.Oldest()}
	}
	if c.AdminTLS.On() && !c.AdminOff() {
		all["admin_tls"] = certificate.Files{
			Cert: c.AdminTLS.CertFile, Key: c.AdminTLS.KeyFile, ClientCA: c.AdminTLS.ClientCAFile, Oldest: c.TLS.Oldest(),
		}
	}
	return all
}

func openCertificates(c *config.Config) (all certificates, err error) {
	for setting, files := range CertificatesOf(c) {
		k, err := certificate.Open(files)
		if err != nil {
			return all, fmt.Errorf("%s: %w", setting, err)
		}
		if setting == "tls" {
			all.public = k
		} else {
			all.admin = k
		}
	}
	return all, nil
}

// checkCertificates refuses files that openCertificates would refuse. A certificate without
// a key is left for the configuration reader to refuse.
func checkCertificates(c *config.Config) error {
	if c.TLS.On() && c.TLS.KeyFile == "" || c.AdminTLS.On() && c.AdminTLS.KeyFile == "" {
		return nil
	}
	_, err := openCertificates(c)
	return err
}

// each calls do for every certificate.
func (c certificates) each(do func(listener string, k *certificate.Keeper)) {
	if c.public != nil {
		do("public", c.public)
	}
	if c.admin != nil {
		do("admin", c.admin)
	}
}

// open returns the key files that everybody on this host can read.
func (c certificates) open() (files []string) {
	c.each(func(_ string, k *certificate.Keeper) {
		name := k.Files().Key
		if info, err := os.Stat(name); err == nil && info.Mode().Perm()&0o004 != 0 && !slices.Contains(files, name) {
			files = append(files, name)
		}
	})
	return files
}

// states returns the certificate states that are exported to Prometheus.
func (c certificates) states() (all []metrics.Certificate) {
	c.each(func(listener string, k *certificate.Keeper) {
		all = append(all, metrics.Certificate{Listener: listener, Until: k.Current().Until, Failing: k.Err() != nil})
	})
	return all
}

// stale says for which listeners the files differ from what is in use; "" if for none.
func (c certificates) stale() string {
	var faults []string
	c.each(func(listener string, k *certificate.Keeper) {
		if err := k.Err(); err != nil {
			faults = append(faults, "the certificate files of the "+listener+
				" listener are rejected, and those before stay in use: "+root(err))
		}
	})
	return strings.Join(faults, "; ")
}

// root returns the text of the innermost wrapped error, which names no file.
func root(err error) string {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err.Error()
}

// exposure is a key that was sent in plain text.
type exposure struct {
	text string
	from netip.Addr
}

// exposures is the queue of keys that were sent in plain text and are still to be reported.
// Requests don't wait for it, so keys that arrive too fast go unreported.
type exposures struct{ waiting chan exposure }

const mostExposures = 64

func newExposures() *exposures { return &exposures{make(chan exposure, mostExposures)} }

func (e *exposures) add(text string, from netip.Addr) {
	select {
	case e.waiting <- exposure{text, from}:
	default:
	}
}
