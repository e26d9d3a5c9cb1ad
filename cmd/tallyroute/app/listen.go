package app

import (
	"context"
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
)

// listener is an HTTP server and the socket that it serves on.
type listener struct {
	name string
	http *http.Server
	net  net.Listener
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
	if err := l.http.Serve(l.net); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	return nil
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
