package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/postgres"
	"tallyroute/billing/sqlite"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/providers/secret"
	"tallyroute/providers/secret/manager"
)

// commandAcquire is the minimum time that a command waits for a connection: no request is
// queued behind it, and on a busy host getting one may take a while.
const commandAcquire = 5 * time.Second

// OpenStore opens the configured database for a command. PostgreSQL may be unreachable; an
// SQLite file is created if it doesn't exist.
func OpenStore(ctx context.Context, c *config.Config) (billing.Store, error) {
	patient := *c
	patient.Timeouts.DatabaseAcquire = max(c.Timeouts.DatabaseAcquire, config.Duration(commandAcquire))
	from, err := once(&patient)
	if err != nil {
		return billing.Store{}, err
	}
	return openStore(ctx, from, &patient, nil)
}

// openStore opens the database for a process that sweeps; swept is called with the swept
// rows.
func openStore(ctx context.Context, from *manager.Keeper, c *config.Config, swept func([]billing.Spend)) (billing.Store, error) {
	where, err := database(ctx, from, c.Database)
	if err != nil {
		return billing.Store{}, fmt.Errorf("database: %w", err)
	}
	direct, err := database(ctx, from, c.DatabaseDirect)
	if err != nil {
		return billing.Store{}, fmt.Errorf("database_direct: %w", err)
	}
	zone, err := Zone(c)
	if err != nil {
		return billing.Store{}, err
	}
	if where.IsPostgres() {
		return contracts(postgres.Open(ctx, string(where), postgres.Options{
			Reporting: zone,
			MaxConns:  int32(c.DatabaseConnections), // at most 1000
			Acquire:   time.Duration(c.Timeouts.DatabaseAcquire),
			Statement: time.Duration(c.Timeouts.DatabaseStatement),
			Lock:      time.Duration(c.Timeouts.DatabaseLock),
			Direct:    string(direct),
			Login:     databaseLogin(from, c),
			Overrun:   overrunLimit(c.Overrun),
			Swept:     swept,
		}))
	}
	path, err := where.SQLitePath()
	if err != nil {
		return billing.Store{}, err
	}
	return contracts(sqlite.Open(ctx, path, sqlite.Options{Reporting: zone, Overrun: overrunLimit(c.Overrun), Swept: swept}))
}

// databaseLogin returns a function that supplies the login of each new connection: the one
// that database_login leads to, or the one in a connection string that may be rotated; nil
// if there is neither.
func databaseLogin(from *manager.Keeper, c *config.Config) func(context.Context) (postgres.Login, error) {
	ref := string(c.DatabaseLogin)
	_, managed := secret.Managed(string(c.Database))
	_, file := secret.File(string(c.Database))
	switch {
	case ref != "":
		return func(ctx context.Context) (postgres.Login, error) {
			v, err := from.Resolve(ctx, ref)
			if err != nil {
				return postgres.Login{}, fmt.Errorf("database_login: %w", err)
			}
			return loginOf(v)
		}
	case managed || file:
		return func(ctx context.Context) (postgres.Login, error) {
			v, err := from.Resolve(ctx, string(c.Database))
			if err != nil {
				return postgres.Login{}, fmt.Errorf("database: %w", err)
			}
			return postgres.LoginOf(v.Reveal())
		}
	}
	return nil
}

var errLogin = errors.New("database_login: want a secret with the fields username and password")

// loginOf parses a login as supplied by Vault's database engine and other managers.
func loginOf(v secret.Value) (l postgres.Login, err error) {
	var said struct{ Username, Password string }
	if json.Unmarshal([]byte(v.Reveal()), &said) != nil || said.Username == "" || said.Password == "" {
		return l, errLogin
	}
	return postgres.Login{User: said.Username, Password: said.Password}, nil
}

// checkStore refuses a database and a journal that couldn't be opened, without opening
// either: a router may be using them.
func checkStore(ctx context.Context, from *manager.Keeper, c *config.Config) error {
	where, err := database(ctx, from, c.Database)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if path, err := where.SQLitePath(); err == nil {
		return errors.Join(checkFolder("database", filepath.Dir(path)), checkJournal(c))
	}
	s, err := openStore(ctx, from, c, nil) // connects on first use
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return errors.Join(s.Close(), checkJournal(c))
}

// journalOff disables the journal: holds are then rows in the database.
const journalOff = "off"

func checkJournal(c *config.Config) error {
	if c.Journal == "" || c.Journal == journalOff {
		return nil
	}
	if info, err := os.Stat(c.Journal); err == nil && !info.IsDir() {
		return fmt.Errorf("journal: %s is not a folder", c.Journal)
	}
	return nil
}

func checkFolder(setting, path string) error {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return fmt.Errorf("%s: there is no folder %s", setting, path)
	}
	return nil
}

func contracts[S interface{ Contracts() billing.Store }](store S, err error) (billing.Store, error) {
	if err != nil {
		return billing.Store{}, err
	}
	return store.Contracts(), nil
}

// overrunLimit returns how far a key may exceed its holds before it is stopped.
func overrunLimit(o config.Overrun) billing.OverrunLimit {
	return billing.OverrunLimit{Money: billing.Money(o.StopUSD), Percent: o.StopPercent}
}

// Zone returns the time zone of days and months in reports.
func Zone(c *config.Config) (*time.Location, error) {
	zone, err := time.LoadLocation(c.ReportingTimezone)
	if err != nil {
		return nil, fmt.Errorf("reporting_timezone: %w", err)
	}
	return zone, nil
}
