package cli

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
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

// Fields is the body of a call.
type Fields map[string]any

// Needs is what a verb needs of the host, where it runs on the database itself.
type Needs struct {
	Creates bool                   // makes the database if there is none
	Keys    bool                   // hashes secrets
	Prices  func() []billing.Price // of the catalogue
}

// Ask has do call operations of the admin API: of the router that --router names, as the
// person whose token is sent, or else on the database of this host. Either way the same
// code runs and the audit log says who asked.
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
		o := admin.Options{Actions: manage.Actions{Store: s}, Reports: s, Prices: n.Prices}
		if n.Keys {
			if o.Actions, err = a.keyActions(s, cfg); err != nil {
				return err
			}
		}
		o.Actions.Roles = app.Roles(cfg)
		o.Actions.SecretSources = secret.Sources()
		o.Actions.Setup = a.setup(cfg)
		if o.Actions.Upstreams, err = app.Desk(cfg, s, a.Source().Demo); err != nil {
			return err
		}
		o.Actions.Notifiers = func(ctx context.Context) (map[string]manage.Notifier, error) { return app.Notifiers(ctx, cfg) }
		if o.Zone, err = app.Zone(cfg); err != nil {
			return err
		}
		return do(adminapi.API{Transport: admin.OnHost(o, By("")), Base: "http://localhost"})
	})
}

// setup is what the organisation's rules ask of the configuration of this host, with the
// providers that it leads to where these can be read.
func (a *Context) setup(cfg *config.Config) func() governance.Setup {
	return sync.OnceValue(func() governance.Setup {
		if read, providers, err := a.Settings(); err == nil {
			return app.SetupOf(read, providers)
		}
		return app.SetupOf(cfg, app.Catalogue{})
	})
}

// remote is the admin API of the router that --router names, for who has a token or a
// login there.
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

// Anonymous is the admin API of the router that --router names, for nobody yet.
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

// getenv is a variable of the environment.
func (a *Context) getenv(name string) string {
	for _, v := range a.Env {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// Value is a text that may be missing.
func Value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// InstantOf is an instant of an answer; the zero time where there is none.
func InstantOf(s *string) time.Time {
	t, err := time.Parse(time.RFC3339, Value(s))
	if err != nil {
		return time.Time{}
	}
	return t
}

// DayOf is the day of an instant of an answer.
func DayOf(s *string) string { return Day(InstantOf(s)) }

// DollarsOf is money of an answer.
func DollarsOf(usd string) Cell {
	m, err := billing.ParseMoney(usd)
	if err != nil {
		return Text(usd)
	}
	return Dollars(m)
}

// Tokens are the logins of this account.
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
