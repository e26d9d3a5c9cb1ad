package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"tallyroute/cmd/tallyroute/config"
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
