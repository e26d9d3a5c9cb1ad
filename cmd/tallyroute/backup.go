package main

import (
	"errors"
	"fmt"

	"tallyroute/billing"
	"tallyroute/billing/sqlite"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/config"
)

// backupCommand is "tallyroute backup".
type backupCommand struct {
	File string `arg:"" help:"The file to write. It must not exist yet." type:"path"`
}

// errNoBackup explains how to back up a database server.
var errNoBackup = errors.New("the database is PostgreSQL: back it up with its own tools, such as pg_dump --format=custom " +
	"--file=tallyroute.dump")

// Run writes the backup.
func (c backupCommand) Run(a *cli.Context) error {
	return a.WithStore(func(s billing.Store, _ *config.Config) error {
		file, ok := s.Database.(*sqlite.Store)
		if !ok {
			return errNoBackup
		}
		if err := file.Backup(a.Ctx, c.File); err != nil {
			return err
		}
		_, err := fmt.Fprintf(a.Stdout, "%s is a copy of the database. Keep the pepper too, and apart from it: without it no key of the "+
			"copy is known.\n", c.File)
		return err
	})
}
