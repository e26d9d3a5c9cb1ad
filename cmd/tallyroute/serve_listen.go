package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
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
