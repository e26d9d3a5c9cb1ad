package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/postgres"
	"tallyroute/billing/sqlite"
)

// openStore opens the configured database. PostgreSQL may be away; SQLite is
// made where it does not exist.
func (c *Config) openStore(ctx context.Context) (billing.Store, error) {
	where, err := c.Database.resolve(ctx)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	direct, err := c.DatabaseDirect.resolve(ctx)
	if err != nil {
		return nil, fmt.Errorf("database_direct: %w", err)
	}
	zone, err := time.LoadLocation(c.ReportingTimezone)
	if err != nil {
		return nil, fmt.Errorf("reporting_timezone: %w", err)
	}
	if where.postgres() {
		return postgres.Open(ctx, string(where), postgres.Options{
			Reporting: zone,
			MaxConns:  int32(c.DatabaseConnections), // at most 1000
			Acquire:   time.Duration(c.Timeouts.DatabaseAcquire),
			Statement: time.Duration(c.Timeouts.DatabaseStatement),
			Lock:      time.Duration(c.Timeouts.DatabaseLock),
			Direct:    string(direct),
			Overrun:   c.Overrun.limit(),
		})
	}
	path, err := where.sqlitePath()
	if err != nil {
		return nil, err
	}
	return sqlite.Open(ctx, path, sqlite.Options{Reporting: zone, Overrun: c.Overrun.limit()})
}

// withStore runs do on a database that is there and whose tables are up to
// date. SQLite is brought up to date on the way; PostgreSQL, which others may
// be using, only by "migrate" and "serve".
func (a *app) withStore(do func(billing.Store, *Config) error) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	if path, err := cfg.Database.sqlitePath(); err == nil {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("no database at %s yet; tallyroute serve, demo and keys create make one", path)
		}
	}
	return a.openAnd(cfg, do)
}

// withNewStore is withStore for what may be the first command of all.
func (a *app) withNewStore(do func(billing.Store, *Config) error) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	return a.openAnd(cfg, do)
}

// withActions is withStore for what operators do. A member that cannot be is a
// mistake on the command line.
func (a *app) withActions(do func(manage.Actions, *Config) error) error {
	return a.withStore(func(s billing.Store, cfg *Config) error {
		return do(manage.Actions{Store: s}, cfg)
	})
}

func (a *app) openAnd(cfg *Config, do func(billing.Store, *Config) error) error {
	store, err := cfg.openStore(a.ctx)
	if err != nil {
		return err
	}
	if _, isFile := store.(*sqlite.Store); isFile {
		_, err = store.Migrate(a.ctx)
	} else {
		err = store.Ready(a.ctx)
	}
	if err == nil {
		err = do(store, cfg)
	}
	return errors.Join(err, store.Close())
}

// migrateCommand is "tallyroute migrate".
type migrateCommand struct{}

// Run applies what is missing, under a lock, and lists it.
func (migrateCommand) Run(a *app) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	store, err := cfg.openStore(a.ctx)
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
