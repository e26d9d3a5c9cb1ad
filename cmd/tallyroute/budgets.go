package main

import (
	"fmt"
	"strings"
	"time"

	"tallyroute/billing"
)

// budgetsCommand is "tallyroute budgets": limits above the single key.
type budgetsCommand struct {
	List budgetsList `cmd:"" help:"List the budgets."`
	Set  budgetsSet  `cmd:"" help:"Set the budget of a team, a project, a key or the whole organisation."`
}

type budgetsList struct{ format }

// budgetView is a budget as JSON shows it.
type budgetView struct {
	ID      string         `json:"id"`
	Scope   billing.Scope  `json:"scope"`
	ScopeID string         `json:"scope_id"`
	Name    string         `json:"name"`
	Period  billing.Period `json:"period"`
	Zone    string         `json:"zone"`
	USD     *string        `json:"usd"`
	Tokens  *int64         `json:"tokens"`
}

// Run lists the budgets.
func (c budgetsList) Run(a *app) error {
	return a.withStore(func(s billing.Store, _ *Config) error {
		budgets, err := s.ListBudgets(a.ctx)
		if err != nil {
			return err
		}
		names, err := a.scopeNames(s)
		if err != nil {
			return err
		}
		t := table{header: []string{"ID", "SCOPE", "OF", "PERIOD", "ZONE", "USD", "TOKENS"}}
		views := []budgetView{}
		for _, b := range budgets {
			name := names[b.ScopeID]
			t.add(text(b.ID), text(string(b.Scope)), text(orElse(name, b.ScopeID)), text(string(b.Period)),
				text(orElse(b.Zone, "UTC")), limitOf(b.Money), tokensOf(b.Tokens))
			views = append(views, budgetView{b.ID, b.Scope, b.ScopeID, name, b.Period, orElse(b.Zone, "UTC"), usdText(b.Money), b.Tokens})
		}
		t.records = views
		return t.write(a.stdout, c.Output)
	})
}

// scopeNames maps the ids of teams and projects to their names.
func (a *app) scopeNames(s billing.Store) (map[string]string, error) {
	teams, err := s.ListTeams(a.ctx)
	if err != nil {
		return nil, err
	}
	projects, err := s.ListProjects(a.ctx)
	if err != nil {
		return nil, err
	}
	names := map[string]string{"org": "everybody"}
	for _, t := range teams {
		names[t.ID] = t.Name
	}
	for _, p := range projects {
		names[p.ID] = p.Team + "/" + p.Name
	}
	return names, nil
}

func limitOf(m *billing.Money) cell {
	if m == nil {
		return text("-")
	}
	return dollars(*m)
}

func tokensOf(n *int64) cell {
	if n == nil {
		return text("-")
	}
	return number(*n)
}

func usdText(m *billing.Money) *string {
	if m == nil {
		return nil
	}
	s := m.String()
	return &s
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

type budgetsSet struct {
	Scope  string `arg:"" help:"What it limits: ${enum}." enum:"org,team,project,key"`
	Of     string `arg:"" optional:"" help:"Id or name of the team, team/name or id of the project, id of the key."`
	Period string `help:"When it starts afresh: ${enum}." enum:"day,week,month,quarter,year,once" default:"month"`
	Zone   string `help:"Time zone of the period." default:"UTC" placeholder:"ZONE"`
	USD    *usd   `help:"Limit in dollars." placeholder:"AMOUNT"`
	Tokens *int64 `help:"Limit in tokens." placeholder:"N"`
}

// Run sets the budget. One that is there for the same scope and period is
// changed, and what was used of it stays used.
func (c budgetsSet) Run(a *app) error {
	if c.USD == nil && c.Tokens == nil {
		return usagef("needs --usd, --tokens or both")
	}
	if c.Tokens != nil && *c.Tokens < 0 {
		return usagef("--tokens must not be negative")
	}
	if _, err := time.LoadLocation(c.Zone); err != nil {
		return usagef("--zone: want a name such as Europe/Berlin")
	}
	return a.withStore(func(s billing.Store, _ *Config) error {
		id, err := c.scopeID(a, s)
		if err != nil {
			return err
		}
		b := billing.Budget{
			ID: billing.NewID("bud_"), Scope: billing.Scope(c.Scope), ScopeID: id,
			Period: billing.Period(c.Period), Zone: c.Zone, Tokens: c.Tokens, Money: c.USD.money(),
		}
		there, err := s.ListBudgets(a.ctx)
		if err != nil {
			return err
		}
		for _, old := range there {
			if old.Scope == b.Scope && old.ScopeID == b.ScopeID && old.Period == b.Period {
				b.ID = old.ID
			}
		}
		if err := s.SetBudget(a.ctx, b, time.Now()); err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "%s: %s %s, per %s in %s\n", b.ID, c.Scope, orElse(c.Of, "org"), c.Period, c.Zone)
		return nil
	})
}

// scopeID finds the id of what the budget is for.
func (c budgetsSet) scopeID(a *app, s billing.Store) (string, error) {
	if c.Scope == "org" {
		return "org", nil
	}
	if c.Of == "" {
		return "", usagef("say which %s", c.Scope)
	}
	if c.Scope == "key" {
		keys, err := s.ListKeys(a.ctx, billing.KeyFilter{ID: billing.KeyID(c.Of), Now: time.Now()})
		if err != nil {
			return "", err
		}
		if len(keys) == 0 {
			return "", &billing.NotFoundError{What: "key", ID: c.Of}
		}
		return c.Of, nil
	}
	names, err := a.scopeNames(s)
	if err != nil {
		return "", err
	}
	prefix := map[string]string{"team": "team_", "project": "proj_"}[c.Scope]
	for id, name := range names {
		if strings.HasPrefix(id, prefix) && (id == c.Of || name == c.Of) {
			return id, nil
		}
	}
	return "", &billing.NotFoundError{What: c.Scope, ID: c.Of}
}
