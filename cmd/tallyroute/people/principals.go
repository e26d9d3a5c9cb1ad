package people

import (
	"fmt"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/router/admin"
)

// Principals is "tallyroute principals": who may administer the router over REST.
type Principals struct {
	List    principalsList    `cmd:"" help:"List administrators with their roles and tokens."`
	Create  principalsCreate  `cmd:"" help:"Create a user or a service account. It has no permissions until a role is granted."`
	Grant   principalsGrant   `cmd:"" help:"Grant a role in the organisation, a team or a project."`
	Revoke  principalsRevoke  `cmd:"" help:"Revoke a role."`
	Token   principalsToken   `cmd:"" help:"Create a token for the admin API. It is shown once."`
	End     principalsEnd     `cmd:"" help:"End a token."`
	Disable principalsDisable `cmd:"" help:"Refuse all tokens of a principal until it is enabled."`
	Enable  principalsEnable  `cmd:"" help:"Enable a principal that was disabled."`
	Roles   principalsRoles   `cmd:"" help:"List the roles and their permissions."`
}

type principalsList struct{ cli.Format }

// Run lists the principals.
func (c principalsList) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.PrincipalView](a.Ctx, r, "/principals", nil, 0)
		if err != nil {
			return err
		}
		t := cli.Table{Header: []string{"ID", "KIND", "NAME", "STATUS", "ROLES", "TOKENS", "LAST SEEN"}, Records: all}
		for _, v := range all {
			var roles, tokens []string
			for _, g := range v.Grants {
				roles = append(roles, strings.TrimSpace(g.Role+" "+strings.TrimPrefix(g.ScopeID, "org"))+ifMust(g.Must)+" ("+g.ID+")")
			}
			for _, one := range v.Tokens {
				tokens = append(tokens, one.Name+" ("+one.ID+")")
			}
			t.Add(cli.Text(v.ID), cli.Text(string(v.Kind)), cli.Text(v.Name), cli.Text(v.Status), cli.Text(strings.Join(roles, ", ")),
				cli.Text(strings.Join(tokens, ", ")), cli.Text(cli.Value(v.LastSeenAt)))
		}
		return t.Write(a.Stdout, c.Output)
	})
}

func ifMust(condition string) string {
	if condition == "" {
		return ""
	}
	return " if " + condition
}

type principalsCreate struct {
	Name  string `arg:"" help:"Its name."`
	User  bool   `help:"A person, and not a service account."`
	Email string `help:"Its address." placeholder:"ADDRESS"`
}

// Run creates a principal.
func (c principalsCreate) Run(a *cli.Context) error {
	kind := billing.PrincipalService
	if c.User {
		kind = billing.PrincipalUser
	}
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		p, err := adminapi.Do[manage.PrincipalView](a.Ctx, r, adminapi.Post("/principals", cli.Fields{
			"name": c.Name, "kind": kind, "email": c.Email,
		}))
		if err == nil {
			fmt.Fprintln(a.Stdout, p.ID)
		}
		return err
	})
}

type principalsGrant struct {
	ID         string        `arg:"" help:"Id of the principal."`
	Role       string        `arg:"" help:"The role; principals roles lists them."`
	Team       string        `help:"Only in this team." placeholder:"TEAM" xor:"scope"`
	Project    string        `help:"Only in this project: TEAM/PROJECT or its id." placeholder:"PROJECT" xor:"scope"`
	For        time.Duration `help:"How long it is valid. Default: until it is revoked." placeholder:"SPAN"`
	ApprovedBy string        `help:"Who agreed: another principal that may grant the role." placeholder:"PRINCIPAL"`
	Must       string        `help:"A condition, such as login.session and login.age_minutes <= 30." placeholder:"EXPR"`
	Reason     string        `help:"Why." placeholder:"TEXT"`
}

// Run grants a role.
func (c principalsGrant) Run(a *cli.Context) error {
	grant := cli.Fields{"role": c.Role, "scope": billing.ScopeOrg, "approved_by": c.ApprovedBy, "must": c.Must, "reason": c.Reason}
	switch {
	case c.Team != "":
		grant["scope"], grant["scope_id"] = billing.ScopeTeam, c.Team
	case c.Project != "":
		grant["scope"], grant["scope_id"] = billing.ScopeProject, c.Project
	}
	if c.For != 0 {
		grant["expires_in"] = c.For.String()
	}
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		p, err := adminapi.Do[manage.PrincipalView](a.Ctx, r, adminapi.Post("/principals"+adminapi.Path(c.ID, "grants"), grant))
		if err == nil {
			fmt.Fprintln(a.Stdout, p.Grants[len(p.Grants)-1].ID)
		}
		return err
	})
}

type principalsRevoke struct {
	cli.Rehearsal
	ID     string `arg:"" help:"Id of the principal."`
	Grant  string `arg:"" help:"Id of the grant."`
	Reason string `help:"Why." placeholder:"TEXT"`
}

// Run revokes a role.
func (c principalsRevoke) Run(a *cli.Context) error {
	return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
		at := "/principals" + adminapi.Path(c.ID, "grants", c.Grant)
		return r.Do(a.Ctx, adminapi.Delete(at, adminapi.Query("reason", c.Reason)), nil)
	})
}

type principalsToken struct {
	ID   string        `arg:"" help:"Id of the principal."`
	Name string        `help:"What the token is for." default:"token" placeholder:"TEXT"`
	For  time.Duration `help:"How long it is valid; at most 8784h." default:"2160h" placeholder:"SPAN"`
}

// Run creates a token.
func (c principalsToken) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{Keys: true}, func(r adminapi.API) error {
		t, err := adminapi.Do[admin.CreatedToken](a.Ctx, r, adminapi.Post("/principals"+adminapi.Path(c.ID, "tokens"), cli.Fields{
			"name": c.Name, "expires_in": c.For.String(),
		}))
		if err != nil {
			return err
		}
		fmt.Fprintln(a.Stdout, t.Secret)
		fmt.Fprintf(a.Stderr, "It is %s and not shown again; it ends at %s.\n", t.ID, cli.Value(t.ExpiresAt))
		return nil
	})
}

type principalsEnd struct {
	cli.Rehearsal
	ID     string `arg:"" help:"Id of the principal."`
	Token  string `arg:"" help:"Id of the token."`
	Reason string `help:"Why." placeholder:"TEXT"`
}

// Run ends a token.
func (c principalsEnd) Run(a *cli.Context) error {
	return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
		at := "/principals" + adminapi.Path(c.ID, "tokens", c.Token)
		return r.Do(a.Ctx, adminapi.Delete(at, adminapi.Query("reason", c.Reason)), nil)
	})
}

type principalsDisable struct {
	cli.Rehearsal
	ID     string `arg:"" help:"Id of the principal."`
	Reason string `help:"Why." placeholder:"TEXT"`
}

// Run disables a principal.
func (c principalsDisable) Run(a *cli.Context) error {
	return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
		return r.Do(a.Ctx, adminapi.Post("/principals"+adminapi.Path(c.ID, "disable"), cli.Fields{"reason": c.Reason}), nil)
	})
}

type principalsEnable struct {
	ID     string `arg:"" help:"Id of the principal."`
	Reason string `help:"Why." placeholder:"TEXT"`
}

// Run enables a principal.
func (c principalsEnable) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		return r.Do(a.Ctx, adminapi.Post("/principals"+adminapi.Path(c.ID, "enable"), cli.Fields{"reason": c.Reason}), nil)
	})
}

type principalsRoles struct{ cli.Format }

// Run lists the roles.
func (c principalsRoles) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[admin.Role](a.Ctx, r, "/roles", nil, 0)
		if err != nil {
			return err
		}
		t := cli.Table{Header: []string{"ROLE", "PERMISSIONS"}, Records: all}
		for _, one := range all {
			t.Add(cli.Text(one.Name), cli.Text(strings.Trim(fmt.Sprint(one.Permissions), "[]")))
		}
		return t.Write(a.Stdout, c.Output)
	})
}
