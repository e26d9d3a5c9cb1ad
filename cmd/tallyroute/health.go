package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"tallyroute/cmd/tallyroute/cli"
)

// healthCommand is "tallyroute health": a container's health check of itself.
type healthCommand struct {
	URL string `help:"Address of the router. Default: the configured listener." placeholder:"URL"`
}

// Run asks /healthz, which does not depend on the database.
func (c healthCommand) Run(a *cli.Context) error {
	base, by, err := a.Reach(c.URL)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(a.Ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/healthz", nil)
	if err != nil {
		return cli.Usage(err)
	}
	resp, err := (&http.Client{Transport: by}).Do(req)
	if err != nil {
		return fmt.Errorf("not alive: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not alive: %s/healthz answers %s", base, resp.Status)
	}
	fmt.Fprintln(a.Stdout, "ok")
	return nil
}
