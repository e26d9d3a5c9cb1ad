package app

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/providers/secret"
	"tallyroute/router/admin"
	"tallyroute/router/identity"
)

// login gives n how people log in. The client of the identity provider outlives a reload
// that leaves it as it is: it knows the provider's keys.
func (s *Service) login(ctx context.Context, n *snapshot) error {
	l := n.cfg.Login
	if l.Issuer == "" {
		return nil
	}
	n.identity = identity.Config{Issuer: l.Issuer, ClientID: l.ClientID, Scopes: l.Scopes, GroupsClaim: l.GroupsClaim}
	if l.ClientSecret != "" {
		text, err := secret.Resolve(ctx, string(l.ClientSecret))
		if err != nil {
			return fmt.Errorf("login.client_secret: %w", err)
		}
		n.identity.ClientSecret = text.Reveal()
	}
	n.people = &admin.Login{URL: l.URL, Rules: loginRules(l), Provider: identity.New(n.identity)}
	if old := s.now(); old != nil && old.people != nil && reflect.DeepEqual(old.identity, n.identity) {
		n.people.Provider = old.people.Provider
	}
	return nil
}

func loginRules(l config.Login) manage.LoginRules {
	rules := manage.LoginRules{
		MFA: l.MFA, Idle: time.Duration(l.Idle), Absolute: time.Duration(l.Absolute), StepUp: time.Duration(l.StepUp),
	}
	for _, g := range l.Groups {
		r := manage.GroupRole{Group: g.Group, Role: g.Role}
		switch {
		case g.Team != "":
			r.Scope, r.Of = billing.ScopeTeam, g.Team
		case g.Project != "":
			r.Scope, r.Of = billing.ScopeProject, g.Project
		}
		rules.Roles = append(rules.Roles, r)
	}
	return rules
}

// Roles are the roles of a configuration, which was checked.
func Roles(c *config.Config) rbac.Roles {
	roles, err := rbac.NewRoles(c.OwnRoles())
	if err != nil {
		return rbac.BuiltIn()
	}
	return roles
}
