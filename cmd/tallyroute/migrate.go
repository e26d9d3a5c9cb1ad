package main

import (
	"errors"
	"fmt"

	"tallyroute/cmd/tallyroute/app"
)

// migrateCommand is "tallyroute migrate".
type migrateCommand struct{}

// Run applies what is missing, under a lock, and lists it.
func (migrateCommand) Run(a *cli) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	store, err := app.OpenStore(a.ctx, cfg)
	if err != nil {
		return err
	}
	applied, err := store.Migrate(a.ctx)
	for _, name := range applied {
		fmt.Fprintln(a.stdout, "applied", name)
	}
	if err == nil && len(applied) == 0 {
		fmt.Fprintln(a.stdout, "nothing to do")
	}
	return errors.Join(err, store.Close())
}
