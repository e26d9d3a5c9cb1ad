package main

import (
	"fmt"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/config"
)

// principalsCommand is "tallyroute principals": who may administer by REST.
type principalsCommand struct {
	List    principalsList    `cmd:"" help:"List those who administer, with their roles and tokens."`
	Create  principalsCreate  `cmd:"" help:"Make a user or a service account. It may do nothing until a role is granted."`
	Grant   principalsGrant   `cmd:"" help:"Give one a role in the organisation, a team or a project."`
	Revoke  principalsRevoke  `cmd:"" help:"Take a role away."`
	Token   principalsToken   `cmd:"" help:"Make a token for the admin API. It is shown once."`
	End     principalsEnd     `cmd:"" help:"End a token."`
	Disable principalsDisable `cmd:"" help:"Refuse all tokens of one until it is enabled."`
	Enable  principalsEnable  `cmd:"" help:"Let one that was disabled act again."`
	Roles   principalsRoles   `cmd:"" help:"List the roles and their permissions."`
}

type principalsList struct{ format }

// Run lists the principals.
func (c principalsList) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		all, err := m.Principals(a.ctx)
		if err != nil {
			return err
		}
		t := table{header: []string{"ID", "KIND", "NAME", "STATUS", "ROLES", "TOKENS", "LAST SEEN"}}
		views := []manage.PrincipalView{}
		for _, p := range all {
			v := manage.ViewPrincipal(p, time.Now())
			views = append(views, v)
			var roles, tokens []string
			for _, g := range v.Grants {
				roles = append(roles, strings.TrimSpace(g.Role+" "+strings.TrimPrefix(g.ScopeID, "org"))+" ("+g.ID+")")
			}
			for _, one := range v.Tokens {
				tokens = append(tokens, one.Name+" ("+one.ID+")")
			}
			t.add(text(v.ID), text(string(v.Kind)), text(v.Name), text(v.Status), text(strings.Join(roles, ", ")),
				text(strings.Join(tokens, ", ")), text(timestamp(p.LastSeenAt)))
		}
		t.records = views
		return t.write(a.stdout, c.Output)
	})
}

type principalsCreate struct {
	Name  string `arg:"" help:"Its name."`
	User  bool   `help:"A person, and not a service account."`
	Email string `help:"Its address." placeholder:"ADDRESS"`
}

// Run makes one.
func (c principalsCreate) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		kind := billing.PrincipalService
		if c.User {
			kind = billing.PrincipalUser
		}
		p, err := m.CreatePrincipal(a.ctx, manage.PrincipalRequest{Kind: kind, Name: c.Name, Email: c.Email}, by(""))
		if err == nil {
			fmt.Fprintln(a.stdout, p.ID)
		}
		return err
	})
}

type principalsGrant struct {
	ID         string        `arg:"" help:"Id of the principal."`
	Role       string        `arg:"" help:"The role; principals roles lists them."`
	Team       string        `help:"Only in this team." placeholder:"TEAM" xor:"scope"`
	Project    string        `help:"Only in this project: TEAM/PROJECT or its id." placeholder:"PROJECT" xor:"scope"`
	For        time.Duration `help:"For how long; without it, until it is revoked." placeholder:"SPAN"`
	ApprovedBy string        `help:"Who approved it." placeholder:"NAME"`
	Reason     string        `help:"Why." placeholder:"TEXT"`
}

// Run grants a role.
func (c principalsGrant) Run(a *cli) error {
	r := manage.GrantRequest{Role: c.Role, Scope: billing.ScopeOrg, ApprovedBy: c.ApprovedBy}
	switch {
	case c.Team != "":
		r.Scope, r.Of = billing.ScopeTeam, c.Team
	case c.Project != "":
		r.Scope, r.Of = billing.ScopeProject, c.Project
	}
	if c.For != 0 {
		r.ExpiresAt = time.Now().UTC().Add(c.For)
	}
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		p, err := m.Grant(a.ctx, c.ID, r, by(c.Reason))
		if err == nil {
			fmt.Fprintln(a.stdout, p.Grants[len(p.Grants)-1].ID)
		}
		return err
	})
}

type principalsRevoke struct {
	ID     string `arg:"" help:"Id of the principal."`
	Grant  string `arg:"" help:"Id of the grant."`
	Reason string `help:"Why." placeholder:"TEXT"`
}

// Run takes a role away.
func (c principalsRevoke) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		_, err := m.Revoke(a.ctx, c.ID, c.Grant, by(c.Reason))
		return err
	})
}

type principalsToken struct {
	ID   string        `arg:"" help:"Id of the principal."`
	Name string        `help:"What the token is for." default:"token" placeholder:"TEXT"`
	For  time.Duration `help:"How long it is good; at most 8784h." default:"2160h" placeholder:"SPAN"`
}

// Run makes a token.
func (c principalsToken) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		t, secret, err := m.CreateToken(a.ctx, c.ID, c.Name, c.For, by(""))
		if err != nil {
			return err
		}
		fmt.Fprintln(a.stdout, secret.Reveal())
		fmt.Fprintf(a.stderr, "It is %s and not shown again; it ends at %s.\n", t.ID, timestamp(t.ExpiresAt))
		return nil
	})
}

type principalsEnd struct {
	ID     string `arg:"" help:"Id of the principal."`
	Token  string `arg:"" help:"Id of the token."`
	Reason string `help:"Why." placeholder:"TEXT"`
}

// Run ends a token.
func (c principalsEnd) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		_, err := m.EndToken(a.ctx, c.ID, c.Token, by(c.Reason))
		return err
	})
}

type principalsDisable struct {
	ID     string `arg:"" help:"Id of the principal."`
	Reason string `help:"Why." placeholder:"TEXT"`
}

// Run disables one.
func (c principalsDisable) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		_, err := m.DisablePrincipal(a.ctx, c.ID, by(c.Reason))
		return err
	})
}

type principalsEnable struct {
	ID     string `arg:"" help:"Id of the principal."`
	Reason string `help:"Why." placeholder:"TEXT"`
}

// Run enables one.
func (c principalsEnable) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		_, err := m.EnablePrincipal(a.ctx, c.ID, by(c.Reason))
		return err
	})
}

type principalsRoles struct{ format }

// roleRecord is a role in JSON.
type roleRecord struct {
	Name        string   `json:"name"`
	Permissions []string `json:"permissions"`
}

// Run lists the roles.
func (c principalsRoles) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		t, records, all := table{header: []string{"ROLE", "PERMISSIONS"}}, []roleRecord{}, m.AllRoles()
		for _, name := range all.Names() {
			r := roleRecord{name, []string{}}
			for _, p := range all[name] {
				r.Permissions = append(r.Permissions, string(p))
			}
			t.add(text(name), text(strings.Join(r.Permissions, ", ")))
			records = append(records, r)
		}
		t.records = records
		return t.write(a.stdout, c.Output)
	})
}
