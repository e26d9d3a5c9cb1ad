package cli

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"slices"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
	"tallyroute/billing/sqlite"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/upstream"
	"tallyroute/providers/catalogue"
)

// WithStore runs do on an existing database with an up-to-date schema. SQLite is migrated
// on the way; PostgreSQL, which others may be using, only by "migrate" and "serve".
func (a *Context) WithStore(do func(billing.Store, *config.Config) error) error {
	if a.Router != "" {
		return errOnHost
	}
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	if path, missing := cfg.Database.Missing(); missing {
		return fmt.Errorf("no database at %s yet; tallyroute serve, demo and keys create make one", path)
	}
	return a.openAnd(cfg, do)
}

// withNewStore is WithStore for commands that may be the first one ever run.
func (a *Context) withNewStore(do func(billing.Store, *config.Config) error) error {
	if a.Router != "" {
		return errOnHost
	}
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	return a.openAnd(cfg, do)
}

// WithActions is WithStore for what operators do. An invalid field is reported as a mistake
// on the command line.
func (a *Context) WithActions(do func(manage.Actions, *config.Config) error) error {
	return a.WithStore(func(s billing.Store, cfg *config.Config) error {
		return do(manage.Actions{Store: s}, cfg)
	})
}

// WithKeys is WithActions for commands that make keys or look at their secrets.
func (a *Context) WithKeys(do func(manage.Actions, *config.Config) error) error {
	return a.WithStore(func(s billing.Store, cfg *config.Config) error {
		actions, err := a.keyActions(s, cfg)
		if err != nil {
			return err
		}
		return do(actions, cfg)
	})
}

func (a *Context) openAnd(cfg *config.Config, do func(billing.Store, *config.Config) error) error {
	store, err := app.OpenStore(a.Ctx, cfg)
	if err != nil {
		return err
	}
	if _, isFile := store.Database.(*sqlite.Store); isFile {
		_, err = store.Migrate(a.Ctx)
	} else {
		err = store.Ready(a.Ctx)
	}
	if err == nil {
		err = do(store, cfg)
	}
	return errors.Join(Away(err), store.Close())
}

// Away adds what to do to an error that says that the database couldn't be reached.
func Away(err error) error {
	if !errors.Is(err, billing.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w; see whether it runs and this host reaches it, and have commands wait longer by timeouts.database_acquire", err)
}

// keyActions returns what can be done in s, once it is certain that keys are hashed with
// the same pepper that the routers use.
func (a *Context) keyActions(s billing.Store, cfg *config.Config) (manage.Actions, error) {
	pepper, err := app.ReadPepper(a.Ctx, cfg)
	if err != nil {
		return manage.Actions{}, err
	}
	return manage.Actions{
			Store: s, Pepper: pepper.Pepper, KnownModel: app.KnownModel(a.Ctx, cfg, a.Source().Demo), Groups: cfg.Groups,
			SinkNames: cfg.SinkNames(),
		},
		pepper.Confirm(a.Ctx, s)
}

// By identifies whoever is working at the command line.
func By(reason string) manage.By {
	host, _ := os.Hostname() // the record matters more than the name
	return manage.By{Actor: Whoami(), Source: host, Reason: reason, Access: rbac.Everything()}
}

// Whoami names whoever is working at the command line, for the key's own record.
func Whoami() string {
	u, err := user.Current()
	if err != nil {
		return "cli"
	}
	return "cli:" + u.Username
}

// StoredCatalogue is WholeCatalogue with what administrators have stored, if there is a
// database. Anything in it that can't be read is reported and left out.
func (a *Context) StoredCatalogue() (*catalogue.Catalogue, *config.Config, error) {
	cfg, _, err := a.Settings()
	if err != nil {
		return nil, nil, err
	}
	stored, err := a.stored(cfg)
	if err != nil {
		fmt.Fprintln(a.Stderr, "Stored providers and credentials are not among them:", err)
	}
	whole, broken, err := app.WholeCatalogue(a.Ctx, cfg, a.Source().Demo, stored)
	for _, name := range slices.Sorted(maps.Keys(broken)) {
		fmt.Fprintf(a.Stderr, "The stored provider %s is left out: %s\n", name, broken[name])
	}
	return whole, cfg, err
}

// stored returns what administrators have stored; nil if nothing was ever written.
func (a *Context) stored(cfg *config.Config) (stored *upstream.Loaded, err error) {
	if _, missing := cfg.Database.Missing(); missing {
		return nil, nil
	}
	err = a.WithStore(func(s billing.Store, cfg *config.Config) (err error) {
		stored, err = app.Stored(a.Ctx, cfg, s)
		return err
	})
	if stored != nil {
		for _, name := range slices.Sorted(maps.Keys(stored.Unreadable)) {
			fmt.Fprintf(a.Stderr, "The stored credential %s cannot be opened here: %s\n", name, stored.Unreadable[name])
		}
	}
	return stored, err
}
