package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/governance"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/signin"
	"tallyroute/providers/secret"
	"tallyroute/router/admin"
)

// Fields is the body of a call, by field name.
type Fields map[string]any

// Needs says what a verb needs from the host if it works directly on the database.
type Needs struct {
	Creates bool                   // creates the database if there is none
	Keys    bool                   // hashes secrets
	Prices  func() []billing.Price // of the catalogue
}

// Ask lets do call operations of the admin API: either on the router that --router names,
// as the person whose token is sent, or else on this host's database. Either way the same
// code runs, and the audit log says who asked.
func (a *Context) Ask(n Needs, do func(adminapi.API) error) error {
	if a.Router != "" {
		api, err := a.remote()
		if err != nil {
			return err
		}
		return do(api)
	}
	with := a.WithStore
	if n.Creates {
		with = a.withNewStore
	}
	return with(func(s billing.Store, cfg *config.Config) (err error) {
		o := admin.Options{Actions: manage.Actions{Store: s, Late: manage.Late}, Reports: s, Prices: n.Prices}
		if n.Keys {
			if o.Actions, err = a.keyActions(s, cfg); err != nil {
				return err
			}
		}
		o.Actions.Roles = app.Roles(cfg)
		o.Actions.SecretSources = secret.Sources()
		o.Actions.Setup = a.setup(cfg)
		if o.Actions.Upstreams, err = app.Desk(cfg, s, a.Source().Demo, o.Actions.Pepper); err != nil {
			return err
		}
		o.Actions.Notifiers = func(ctx context.Context) (map[string]manage.Notifier, error) { return app.Notifiers(ctx, cfg) }
		if o.Zone, err = app.Zone(cfg); err != nil {
			return err
		}
		return do(adminapi.API{Transport: admin.OnHost(o, By("")), Base: "http://localhost"})
	})
}

// Rehearsal is the flag of commands whose changes can be tried first.
type Rehearsal struct {
	DryRun bool `help:"Only say what would change; whatever would refuse it does."`
}

// Change is Ask for a command that changes something, or only says what it would change.
func (a *Context) Change(r Rehearsal, n Needs, do func(adminapi.API) error) error {
	err := a.Ask(n, func(api adminapi.API) error {
		api.DryRun = r.DryRun
		return do(api)
	})
	var would *adminapi.Rehearsed
	if !errors.As(err, &would) {
		return err
	}
	if would.Object != nil {
		fmt.Fprintln(a.Stdout, "Nothing was changed. It would be:")
		return PrintJSON(a.Stdout, would.Object)
	}
	if len(would.Changes) == 0 {
		_, err = fmt.Fprintln(a.Stdout, "Nothing would change.")
		return err
	}
	fmt.Fprintln(a.Stdout, "Nothing was changed. This would be:")
	t := Table{Header: []string{"ACTION", "OBJECT", "DETAIL"}}
	for _, c := range would.Changes {
		t.Add(Text(c.Action), Text(c.Object), Text(DetailText(c.Detail)))
	}
	return t.PrintTable(a.Stdout)
}

// DetailText describes on one line what has changed.
func DetailText(detail map[string]string) string {
	parts := make([]string, 0, len(detail))
	for _, name := range slices.Sorted(maps.Keys(detail)) {
		parts = append(parts, name+": "+detail[name])
	}
	return strings.Join(parts, "; ")
}

// setup returns what the organisation's rules check about the configuration of this host,
// including its providers if they can be read.
func (a *Context) setup(cfg *config.Config) func() governance.Setup {
	return sync.OnceValue(func() governance.Setup {
		if read, providers, err := a.Settings(); err == nil {
			return app.SetupOf(read, providers)
		}
		return app.SetupOf(cfg, app.Catalogue{})
	})
}

// remote returns the admin API of the router that --router names, for somebody who has a
// token or a login there.
func (a *Context) remote() (adminapi.API, error) {
	api, err := a.Anonymous()
	if err != nil {
		return api, err
	}
	if api.Token = a.getenv("TALLYROUTE_TOKEN"); api.Token != "" {
		return api, nil
	}
	kept, err := a.Tokens()
	if err == nil {
		api.Token, err = kept.Of(a.Router)
	}
	if err == nil && api.Token == "" {
		err = Usagef("log in with tallyroute login, or set TALLYROUTE_TOKEN to a token of yours")
	}
	return api, err
}

// Anonymous returns the admin API of the router that --router names, without a login.
func (a *Context) Anonymous() (adminapi.API, error) {
	to, err := url.Parse(a.Router)
	if err != nil || to.Host == "" || to.Scheme != "http" && to.Scheme != "https" {
		return adminapi.API{}, Usagef("--router: want the address of an admin listener, such as https://router.example.com:8081")
	}
	transport, err := a.Transport()
	if err != nil {
		return adminapi.API{}, err
	}
	transport.ResponseHeaderTimeout = 11 * time.Minute // the longest operations take ten
	return adminapi.API{Transport: transport, Base: a.Router}, nil
}

// getenv returns the value of an environment variable.
func (a *Context) getenv(name string) string {
	for _, v := range a.Env {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// Value returns the text, or "" for nil.
func Value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// InstantOf parses an instant in a response; it returns the zero time for nil.
func InstantOf(s *string) time.Time {
	t, err := time.Parse(time.RFC3339, Value(s))
	if err != nil {
		return time.Time{}
	}
	return t
}

// DayOf returns the day of an instant in a response.
func DayOf(s *string) string { return Day(InstantOf(s)) }

// DollarsOf returns a cell with an amount of money from a response.
func DollarsOf(usd string) Cell {
	m, err := billing.ParseMoney(usd)
	if err != nil {
		return Text(usd)
	}
	return Dollars(m)
}

// Tokens returns the login tokens of this user account.
func (a *Context) Tokens() (signin.Tokens, error) {
	dir := a.getenv("XDG_CONFIG_HOME")
	if dir == "" {
		var err error
		if dir, err = os.UserConfigDir(); err != nil {
			return signin.Tokens{}, err
		}
	}
	return signin.Tokens{File: filepath.Join(dir, "tallyroute", "logins.json")}, nil
}
