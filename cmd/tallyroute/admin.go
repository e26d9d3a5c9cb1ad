package main

import (
	"crypto/rand"
	"fmt"

	"tallyroute/billing"
	"tallyroute/cmd/tallyroute/cli"
)

// adminCommand is "tallyroute admin".
type adminCommand struct {
	Token adminToken `cmd:"" help:"Print a new token for the admin API."`
}

type adminToken struct{}

// Run prints a new token. It takes effect once the configuration refers to it.
func (adminToken) Run(a *cli.Context) error {
	token, err := billing.NewSecret(billing.EnvironmentAdmin, rand.Reader)
	if err != nil {
		return err
	}
	fmt.Fprintln(a.Stdout, token.Reveal())
	fmt.Fprintln(a.Stderr, "Put it in the environment of tallyroute serve as TALLYROUTE_ADMIN_TOKEN, or in a file and set admin_token: "+
		"file:/path.")
	return nil
}
