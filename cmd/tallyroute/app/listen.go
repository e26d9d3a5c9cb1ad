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

// listener is an HTTP server and the socket that it serves on.
type listener struct {
	name string
	http *http.Server
	net  net.Listener
	cert *certificate.Keeper // nil speaks plain HTTP
}

// listen opens the socket at once, so that an address in use is known before
// anything is started.
func listen(ctx context.Context, name, address string, h *http.Server) (*listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &listener{name: name, http: h, net: l}, nil
}

// adminHosts are the names by which the admin listener may be called: those of the
// configuration, that of the machine or container, and the one that it listens at.
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

// loginHost is the name by which browsers call the admin listener; "" is none.
func loginHost(c *config.Config) string {
	u, err := url.Parse(c.Login.URL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func (l *listener) address() string { return l.net.Addr().String() }

// close has the listener accept no more; what is connected goes on.
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

// encrypt has the listener speak TLS, where there is a certificate. tell is told of requests
// in clear.
func (l *listener) encrypt(cert *certificate.Keeper, tell func(*http.Request)) {
	if cert != nil {
		l.cert, l.net = cert, web.Encrypted(l.net, tell)
	}
}

// PublicURL is where the public listener that is configured can be reached.
func PublicURL(c *config.Config) string { return scheme(c.TLS.CertFile) + Reachable(c.Listen) }

// AdminURL is where the admin listener that is configured can be reached.
func AdminURL(c *config.Config) string { return scheme(c.AdminTLS.CertFile) + Reachable(c.AdminListen) }

// scheme begins the address of a listener whose certificate is in a file; "" is none.
func scheme(certFile string) string {
	if certFile == "" {
		return "http://"
	}
	return "https://"
}

// OwnTransport calls a listener of this host, whose certificate is in a file; "" is none.
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

// Reachable is an address to connect to for one to listen on: 0.0.0.0 and no
// host at all are every address, so the loopback.
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
	// nextRequest is how soon after an answer a client sends its next request on the same
	// connection, if it is to be waited for: most clients keep one for five seconds.
	nextRequest = 5 * time.Second
	// settleGrace is how long the ledger may take for what is left at the end, and
	// endGrace how long all the rest may.
	settleGrace = 5 * time.Second
	endGrace    = 8 * time.Second
)

// Wait sleeps for d and reports whether ctx is still alive then.
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

// certificates are those of the listeners; nil where one speaks plain HTTP.
type certificates struct{ public, admin *certificate.Keeper }

// CertificatesOf are the files of the listeners that speak TLS, by the setting that names them.
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

// checkCertificates refuses files that openCertificates would. A certificate without a key
// is for the reader of the configuration to refuse.
func checkCertificates(c *config.Config) error {
	if c.TLS.On() && c.TLS.KeyFile == "" || c.AdminTLS.On() && c.AdminTLS.KeyFile == "" {
		return nil
	}
	_, err := openCertificates(c)
	return err
}

// each does something for every certificate.
func (c certificates) each(do func(listener string, k *certificate.Keeper)) {
	if c.public != nil {
		do("public", c.public)
	}
	if c.admin != nil {
		do("admin", c.admin)
	}
}

// open are the files of keys that everybody on this host may read.
func (c certificates) open() (files []string) {
	c.each(func(_ string, k *certificate.Keeper) {
		name := k.Files().Key
		if info, err := os.Stat(name); err == nil && info.Mode().Perm()&0o004 != 0 && !slices.Contains(files, name) {
			files = append(files, name)
		}
	})
	return files
}

// states are what Prometheus is told of them.
func (c certificates) states() (all []metrics.Certificate) {
	c.each(func(listener string, k *certificate.Keeper) {
		all = append(all, metrics.Certificate{Listener: listener, Until: k.Current().Until, Failing: k.Err() != nil})
	})
	return all
}

// stale says of which listeners the files are not what is in use; "" of none.
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

// root is what an error wraps in the end, which names no file.
func root(err error) string {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err.Error()
}

// exposure is a key that came in clear.
type exposure struct {
	text string
	from netip.Addr
}

// exposures are keys that came in clear and are still to be told of. Requests do not wait
// for that, so what comes too fast is not told.
type exposures struct{ waiting chan exposure }

const mostExposures = 64

func newExposures() *exposures { return &exposures{make(chan exposure, mostExposures)} }

func (e *exposures) add(text string, from netip.Addr) {
	select {
	case e.waiting <- exposure{text, from}:
	default:
	}
}
