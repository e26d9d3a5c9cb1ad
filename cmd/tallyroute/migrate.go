package main

import (
	"errors"
	"fmt"

	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/cli"
)

// migrateCommand is "tallyroute migrate".
type migrateCommand struct{}

// Run applies the missing migrations under a lock, and lists them.
func (migrateCommand) Run(a *cli.Context) error {
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	store, err := app.OpenStore(a.Ctx, cfg)
	if err != nil {
		return err
	}
	applied, err := store.Migrate(a.Ctx)
	for _, name := range applied {
		fmt.Fprintln(a.Stdout, "applied", name)
	}
	if err == nil && len(applied) == 0 {
		fmt.Fprintln(a.Stdout, "nothing to do")
	}
	return errors.Join(cli.Away(err), store.Close())
}
