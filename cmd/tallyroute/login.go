package main

import (
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/signin"
	"tallyroute/router/admin"
)

type loginCommand struct {
	Device    bool `help:"Log in on another device, by a code that is printed."`
	Fresh     bool `help:"Prove again who you are, for what needs a login of the last minutes."`
	NoBrowser bool `help:"Only print the page; do not open it."`
}

// Run logs the person in at the router and keeps the token.
func (c loginCommand) Run(a *cli) error {
	api, err := a.anonymous()
	if err != nil {
		return err
	}
	show := func(p signin.Page) {
		fmt.Fprintf(a.stderr, "Open %s\n", p.URL)
		if p.UserCode != "" {
			fmt.Fprintf(a.stderr, "and enter %s\n", p.UserCode)
			return
		}
		if !c.NoBrowser {
			openPage(a.ctx, p.URL)
		}
	}
	var in signin.Login
	if c.Device {
		in, err = signin.ByDevice(a.ctx, api, show)
	} else {
		in, err = signin.ByBrowser(a.ctx, api, map[string]any{"fresh": c.Fresh}, show)
	}
	if err != nil {
		return err
	}
	kept, err := a.tokens()
	if err == nil {
		err = kept.Keep(a.router, in.Token)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "You are %s at %s until %s.\n", in.Actor, a.router, in.ExpiresAt)
	return err
}

// openPage shows a page in a browser, where there is one: the address was printed.
func openPage(ctx context.Context, page string) {
	command := map[string][]string{"darwin": {"open"}, "windows": {"rundll32", "url.dll,FileProtocolHandler"}}[runtime.GOOS]
	if command == nil {
		command = []string{"xdg-open"}
	}
	_ = exec.CommandContext(ctx, command[0], append(command[1:], page)...).Start() //nolint:gosec // by this system
}

type logoutCommand struct{}

// Run ends the login and forgets its token.
func (logoutCommand) Run(a *cli) error {
	kept, err := a.tokens()
	if err != nil {
		return err
	}
	api, err := a.anonymous()
	if err != nil {
		return err
	}
	if api.Token, err = kept.Of(a.router); err != nil || api.Token == "" {
		return cmp.Or(err, usagef("there is no login at %s", a.router))
	}
	ended := api.Do(a.ctx, adminapi.Post("/logout", nil), nil)
	if err := kept.Keep(a.router, ""); err != nil {
		return err
	}
	return ended
}

type whoamiCommand struct{ plainFormat }

// Run says who the router takes the person for.
func (c whoamiCommand) Run(a *cli) error {
	return a.ask(needs{}, func(r adminapi.API) error {
		me, err := adminapi.Do[admin.Self](a.ctx, r, adminapi.Get("/me", nil))
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return printJSON(a.stdout, me)
		}
		roles := make([]string, 0, len(me.Grants))
		for _, g := range me.Grants {
			roles = append(roles, strings.TrimSpace(g.Role+" "+strings.TrimPrefix(g.ScopeID, "org")))
		}
		if me.Full {
			roles = append(roles, "everything")
		}
		_, err = fmt.Fprintf(a.stdout, "%s: %s\n", me.Actor, orElse(strings.Join(roles, ", "), "no role"))
		return err
	})
}

// sessionsCommand is "tallyroute sessions": logins.
type sessionsCommand struct {
	List sessionsList `cmd:"" help:"List logins in force: your own, or of all where you may."`
	End  sessionsEnd  `cmd:"" help:"End a login."`
}

type sessionsList struct {
	format
	Principal string `help:"Only those of this principal." placeholder:"ID"`
}

// Run lists the logins.
func (c sessionsList) Run(a *cli) error {
	return a.ask(needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.SessionView](a.ctx, r, "/sessions", adminapi.Query("principal", c.Principal), 0)
		if err != nil {
			return err
		}
		t := table{header: []string{"ID", "PRINCIPAL", "SINCE", "LAST USED", "ENDS", "FROM", "PROGRAM", "STRENGTH"}, records: all}
		for _, v := range all {
			t.add(text(v.ID), text(v.PrincipalID), text(value(v.CreatedAt)), text(value(v.LastUsedAt)), text(value(v.ExpiresAt)),
				text(v.Source), text(v.UserAgent), text(v.Strength))
		}
		return t.write(a.stdout, c.Output)
	})
}

type sessionsEnd struct {
	ID     string `arg:"" help:"Id of the login: session_…"`
	Reason string `help:"Why, for the record." placeholder:"TEXT"`
}

// Run ends the login.
func (c sessionsEnd) Run(a *cli) error {
	return a.ask(needs{}, func(r adminapi.API) error {
		return r.Do(a.ctx, adminapi.Delete("/sessions"+adminapi.Path(c.ID), adminapi.Query("reason", c.Reason)), nil)
	})
}
