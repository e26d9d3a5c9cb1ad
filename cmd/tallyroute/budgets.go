package main

import (
	"fmt"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/config"
)

// budgetsCommand is "tallyroute budgets": limits above the single key.
type budgetsCommand struct {
	List   budgetsList   `cmd:"" help:"List the budgets with what is used, held and left."`
	Set    budgetsSet    `cmd:"" help:"Set the budget of a team, a project, a key or the whole organisation."`
	Update budgetsUpdate `cmd:"" help:"Change a budget by its id."`
	Remove budgetsRemove `cmd:"" help:"Remove a budget: it no longer applies."`
	Reset  budgetsReset  `cmd:"" help:"Reset what was used in the current period to zero."`
}

type budgetsList struct{ format }

// budgetView is a budget with the name of what it is set on.
type budgetView struct {
	manage.BudgetView
	Name string `json:"scope_name"`
}

// Run lists the budgets.
func (c budgetsList) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		budgets, err := m.Budgets(a.ctx)
		if err != nil {
			return err
		}
		names, err := m.ScopeNames(a.ctx)
		if err != nil {
			return err
		}
		t := table{header: []string{
			"ID", "SCOPE", "OF", "PERIOD", "ZONE", "USD", "USED", "HELD", "LEFT", "TOKENS", "USED TOKENS", "HELD TOKENS",
			"LEFT TOKENS", "RESETS",
		}}
		views := []budgetView{}
		for _, s := range budgets {
			b := s.Budget
			name := orElse(names[b.ScopeID], b.ScopeID)
			leftUSD, leftTokens := text("-"), text("-")
			if free, ok := s.FreeMoney(); ok {
				leftUSD = dollars(free)
			}
			if free, ok := s.FreeTokens(); ok {
				leftTokens = number(free)
			}
			t.add(text(b.ID), text(string(b.Scope)), text(name), text(string(b.Period)), text(orElse(b.Zone, "UTC")),
				limitOf(b.Money), dollars(s.UsedMoney), dollars(s.HeldMoney), leftUSD,
				tokensOf(b.Tokens), number(s.UsedTokens), number(s.HeldTokens), leftTokens, text(orElse(timestamp(s.Window.End), "never")))
			views = append(views, budgetView{manage.ViewBalance(s), name})
		}
		t.records = views
		return t.write(a.stdout, c.Output)
	})
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
	Scope  string      `arg:"" help:"What it limits: ${enum}." enum:"org,team,project,key"`
	Of     string      `arg:"" optional:"" help:"Id or name of the team, team/name or id of the project, id of the key."`
	Period string      `help:"When it resets: ${enum}." enum:"day,week,month,quarter,year,once" default:"month"`
	Zone   string      `help:"Time zone of the period. Default: that of the budget which exists, or UTC." placeholder:"ZONE"`
	USD    *config.USD `help:"Limit in dollars." placeholder:"AMOUNT"`
	Tokens *int64      `help:"Limit in tokens." placeholder:"N"`
}

// Run sets the budget. One that is there for the same scope and period is
// changed, and what was used of it stays used.
func (c budgetsSet) Run(a *cli) error {
	if c.USD == nil && c.Tokens == nil {
		return usagef("needs --usd, --tokens or both")
	}
	if c.Of == "" && c.Scope != string(billing.ScopeOrg) {
		return usagef("say which %s", c.Scope)
	}
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		b, _, err := m.SetBudget(a.ctx, manage.BudgetChange{Budget: billing.Budget{
			Scope: billing.Scope(c.Scope), Period: billing.Period(c.Period), Zone: c.Zone, Tokens: c.Tokens, Money: c.USD.Money(),
		}}, c.Of, by(""))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "%s: %s, per %s in %s\n", b.ID, strings.TrimSpace(c.Scope+" "+c.Of), b.Period, orElse(b.Zone, "UTC"))
		return err
	})
}
