package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

// healthCommand is "tallyroute health": what a container asks itself.
type healthCommand struct {
	URL string `help:"Address of the router. Default: the configured listener." placeholder:"URL"`
}

// Run asks /healthz, which does not depend on the database.
func (c healthCommand) Run(a *app) error {
	base := c.URL
	if base == "" {
		cfg, err := a.config()
		if err != nil {
			return err
		}
		base = "http://" + reachable(cfg.Listen)
	}
	ctx, cancel := context.WithTimeout(a.ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/healthz", nil)
	if err != nil {
		return usageError{err}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("not alive: %w", err)
	}
	defer closing(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not alive: %s/healthz answers %s", base, resp.Status)
	}
	fmt.Fprintln(a.stdout, "ok")
	return nil
}

// reachable is an address to connect to for one to listen on: 0.0.0.0 and no
// host at all are every address, so the loopback.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
