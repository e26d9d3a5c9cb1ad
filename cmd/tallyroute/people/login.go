package people

import (
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/signin"
	"tallyroute/router/admin"
)

type Login struct {
	Device    bool `help:"Log in on another device, by a code that is printed."`
	Fresh     bool `help:"Authenticate again, for operations that need a recent login."`
	NoBrowser bool `help:"Only print the page; do not open it."`
}

// Run logs the person in at the router and keeps the token.
func (c Login) Run(a *cli.Context) error {
	api, err := a.Anonymous()
	if err != nil {
		return err
	}
	show := func(p signin.Page) {
		fmt.Fprintf(a.Stderr, "Open %s\n", p.URL)
		if p.UserCode != "" {
			fmt.Fprintf(a.Stderr, "and enter %s\n", p.UserCode)
			return
		}
		if !c.NoBrowser {
			openPage(a.Ctx, p.URL)
		}
	}
	var in signin.Login
	if c.Device {
		in, err = signin.ByDevice(a.Ctx, api, show)
	} else {
		in, err = signin.ByBrowser(a.Ctx, api, map[string]any{"fresh": c.Fresh}, show)
	}
	if err != nil {
		return err
	}
	kept, err := a.Tokens()
	if err == nil {
		err = kept.Keep(a.Router, in.Token)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Stdout, "You are %s at %s until %s.\n", in.Actor, a.Router, in.ExpiresAt)
	return err
}

// openPage opens a page in a browser if there is one; otherwise the printed address has to
// do.
func openPage(ctx context.Context, page string) {
	command := map[string][]string{"darwin": {"open"}, "windows": {"rundll32", "url.dll,FileProtocolHandler"}}[runtime.GOOS]
	if command == nil {
		command = []string{"xdg-open"}
	}
	_ = exec.CommandContext(ctx, command[0], append(command[1:], page)...).Start() //nolint:gosec // by this system
}

type Logout struct{}

// Run ends the login and deletes its token.
func (Logout) Run(a *cli.Context) error {
	kept, err := a.Tokens()
	if err != nil {
		return err
	}
	api, err := a.Anonymous()
	if err != nil {
		return err
	}
	if api.Token, err = kept.Of(a.Router); err != nil || api.Token == "" {
		return cmp.Or(err, cli.Usagef("there is no login at %s", a.Router))
	}
	ended := api.Do(a.Ctx, adminapi.Post("/logout", nil), nil)
	if err := kept.Keep(a.Router, ""); err != nil {
		return err
	}
	return ended
}

type Whoami struct{ cli.PlainFormat }

// Run says who the router thinks the person is.
func (c Whoami) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		me, err := adminapi.Do[admin.Self](a.Ctx, r, adminapi.Get("/me", nil))
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return cli.PrintJSON(a.Stdout, me)
		}
		roles := make([]string, 0, len(me.Grants))
		for _, g := range me.Grants {
			roles = append(roles, strings.TrimSpace(g.Role+" "+strings.TrimPrefix(g.ScopeID, "org")))
		}
		if me.Full {
			roles = append(roles, "everything")
		}
		_, err = fmt.Fprintf(a.Stdout, "%s: %s\n", me.Actor, cli.OrElse(strings.Join(roles, ", "), "no role"))
		return err
	})
}

// Sessions is "tallyroute sessions": logins.
type Sessions struct {
	List sessionsList `cmd:"" help:"List sessions in force: your own, or everybody's if you are allowed to."`
	End  sessionsEnd  `cmd:"" help:"End a login."`
}

type sessionsList struct {
	cli.Format
	Principal string `help:"Only this principal." placeholder:"ID"`
}

// Run lists the logins.
func (c sessionsList) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.SessionView](a.Ctx, r, "/sessions", adminapi.Query("principal", c.Principal), 0)
		if err != nil {
			return err
		}
		t := cli.Table{Header: []string{"ID", "PRINCIPAL", "SINCE", "LAST USED", "ENDS", "FROM", "PROGRAM", "STRENGTH"}, Records: all}
		for _, v := range all {
			t.Add(cli.Text(v.ID), cli.Text(v.PrincipalID), cli.Text(cli.Value(v.CreatedAt)), cli.Text(cli.Value(v.LastUsedAt)),
				cli.Text(cli.Value(v.ExpiresAt)),
				cli.Text(v.Source), cli.Text(v.UserAgent), cli.Text(v.Strength))
		}
		return t.Write(a.Stdout, c.Output)
	})
}

type sessionsEnd struct {
	cli.Rehearsal
	ID     string `arg:"" help:"Id of the login: session_…"`
	Reason string `help:"Why, for the record." placeholder:"TEXT"`
}

// Run ends the login.
func (c sessionsEnd) Run(a *cli.Context) error {
	return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
		return r.Do(a.Ctx, adminapi.Delete("/sessions"+adminapi.Path(c.ID), adminapi.Query("reason", c.Reason)), nil)
	})
}
