package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/signin"
	"tallyroute/router/admin"
)

// fields is the body of a call.
type fields map[string]any

// needs is what a verb needs of the host, where it runs on the database itself.
type needs struct {
	creates bool                   // makes the database if there is none
	keys    bool                   // hashes secrets
	prices  func() []billing.Price // of the catalogue
}

// ask has do call operations of the admin API: of the router that --router names, as the
// person whose token is sent, or else on the database of this host. Either way the same
// code runs and the audit log says who asked.
func (a *cli) ask(n needs, do func(adminapi.API) error) error {
	if a.router != "" {
		api, err := a.remote()
		if err != nil {
			return err
		}
		return do(api)
	}
	with := a.withStore
	if n.creates {
		with = a.withNewStore
	}
	return with(func(s billing.Store, cfg *config.Config) (err error) {
		o := admin.Options{Actions: manage.Actions{Store: s}, Reports: s, Prices: n.prices}
		if n.keys {
			if o.Actions, err = a.keyActions(s, cfg); err != nil {
				return err
			}
		}
		o.Actions.Roles = app.Roles(cfg)
		o.Actions.Notifiers = func(ctx context.Context) (map[string]manage.Notifier, error) { return app.Notifiers(ctx, cfg) }
		if o.Zone, err = app.Zone(cfg); err != nil {
			return err
		}
		return do(adminapi.API{Transport: admin.OnHost(o, by("")), Base: "http://localhost"})
	})
}

// remote is the admin API of the router that --router names, for who has a token or a
// login there.
func (a *cli) remote() (adminapi.API, error) {
	api, err := a.anonymous()
	if err != nil {
		return api, err
	}
	if api.Token = a.getenv("TALLYROUTE_TOKEN"); api.Token != "" {
		return api, nil
	}
	kept, err := a.tokens()
	if err == nil {
		api.Token, err = kept.Of(a.router)
	}
	if err == nil && api.Token == "" {
		err = usagef("log in with tallyroute login, or set TALLYROUTE_TOKEN to a token of yours")
	}
	return api, err
}

// anonymous is the admin API of the router that --router names, for nobody yet.
func (a *cli) anonymous() (adminapi.API, error) {
	to, err := url.Parse(a.router)
	if err != nil || to.Host == "" || to.Scheme != "http" && to.Scheme != "https" {
		return adminapi.API{}, usagef("--router: want the address of an admin listener, such as https://router.example.com:8081")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // the library says so
	transport.ResponseHeaderTimeout = 11 * time.Minute           // the longest operations take ten
	return adminapi.API{Transport: transport, Base: a.router}, nil
}

// getenv is a variable of the environment.
func (a *cli) getenv(name string) string {
	for _, v := range a.env {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// errOnHost is a verb that needs the database itself.
var errOnHost = usageError{errors.New("this runs on the host of the database: leave --router out, and unset TALLYROUTE_ROUTER")}

// value is a text that may be missing.
func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// instantOf is an instant of an answer; the zero time where there is none.
func instantOf(s *string) time.Time {
	t, err := time.Parse(time.RFC3339, value(s))
	if err != nil {
		return time.Time{}
	}
	return t
}

func dayOf(s *string) string { return day(instantOf(s)) }

// dollarsOf is money of an answer.
func dollarsOf(usd string) cell {
	m, err := billing.ParseMoney(usd)
	if err != nil {
		return text(usd)
	}
	return dollars(m)
}

// tokens are the logins of this account.
func (a *cli) tokens() (signin.Tokens, error) {
	dir := a.getenv("XDG_CONFIG_HOME")
	if dir == "" {
		var err error
		if dir, err = os.UserConfigDir(); err != nil {
			return signin.Tokens{}, err
		}
	}
	return signin.Tokens{File: filepath.Join(dir, "tallyroute", "logins.json")}, nil
}
