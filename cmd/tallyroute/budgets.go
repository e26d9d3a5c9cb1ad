package main

import (
	"fmt"
	"maps"
	"strings"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
)

// budgetsCommand is "tallyroute budgets": limits above the single key.
type budgetsCommand struct {
	List   budgetsList   `cmd:"" help:"List the budgets with what is used, held and left."`
	Set    budgetsSet    `cmd:"" help:"Set the budget of a team, a project, a key or the whole organisation."`
	Update budgetsUpdate `cmd:"" help:"Change a budget by its id."`
	Remove budgetsRemove `cmd:"" help:"Remove a budget: it no longer applies."`
	Raise  budgetsRaise  `cmd:"" help:"Raise the limits of a budget for a time, after which they are what they were."`
	Reset  budgetsReset  `cmd:"" help:"Reset what was used in the current period to zero."`
}

type budgetsList struct{ format }

// Run lists the budgets.
func (c budgetsList) Run(a *cli) error {
	return a.ask(needs{}, func(r adminapi.API) error {
		budgets, err := adminapi.All[manage.NamedBudget](a.ctx, r, "/budgets", nil, 0)
		if err != nil {
			return err
		}
		t := table{records: budgets, header: []string{
			"ID", "SCOPE", "OF", "PERIOD", "ZONE", "USD", "USED", "HELD", "LEFT", "TOKENS", "USED TOKENS", "HELD TOKENS",
			"LEFT TOKENS", "REQUESTS", "USED REQUESTS", "HELD REQUESTS", "LEFT REQUESTS", "ACTION", "RESETS",
		}}
		for _, b := range budgets {
			s := b.Standing
			if s == nil {
				s = &manage.Standing{}
			}
			t.add(text(b.ID), text(b.Scope), text(b.Name), text(b.Period), text(b.Zone),
				limitOf(b.USD), dollarsOf(s.UsedUSD), dollarsOf(s.HeldUSD), limitOf(s.RemainingUSD),
				tokensOf(b.Tokens), number(s.UsedTokens), number(s.HeldTokens), tokensOf(s.RemainingTokens),
				tokensOf(b.Requests), number(s.UsedRequests), number(s.HeldRequests), tokensOf(s.RemainingRequests), text(b.Action),
				text(orElse(value(s.ResetsAt), "never")))
		}
		return t.write(a.stdout, c.Output)
	})
}

func limitOf(usd *string) cell {
	if usd == nil {
		return text("-")
	}
	return dollarsOf(*usd)
}

func tokensOf(n *int64) cell {
	if n == nil {
		return text("-")
	}
	return number(*n)
}

type budgetsSet struct {
	Scope  string `arg:"" help:"What it limits: ${enum}." enum:"org,team,project,key"`
	Of     string `arg:"" optional:"" help:"Id or name of the team, team/name or id of the project, id of the key."`
	Period string `help:"When it resets: ${enum}." enum:"minute,day,week,month,quarter,year,once" default:"month"`
	Zone   string `help:"Time zone of the period. Default: that of the budget which exists, or UTC." placeholder:"ZONE"`
	limitFlags
}

// Run sets the budget. One that is there for the same scope and period is
// changed, and what was used of it stays used.
func (c budgetsSet) Run(a *cli) error {
	said := fields{}
	if c.add(said); len(said) == 0 && c.Zone == "" {
		return usagef("needs --usd, --tokens or --requests, or what else of a budget that exists is to be different")
	}
	if c.Of == "" && c.Scope != string(billing.ScopeOrg) {
		return usagef("say which %s", c.Scope)
	}
	maps.Copy(said, fields{"scope": c.Scope, "scope_id": c.Of, "period": c.Period, "zone": c.Zone})
	return a.ask(needs{}, func(r adminapi.API) error {
		b, err := adminapi.Do[manage.BudgetView](a.ctx, r, adminapi.Post("/budgets", said))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "%s: %s, per %s in %s\n", b.ID, strings.TrimSpace(c.Scope+" "+c.Of), b.Period, b.Zone)
		return err
	})
}

// budgetLine is a budget in words: "key, per month (UTC): $3.2 of $50, resets 2026-12-01T00:00:00Z".
func budgetLine(b manage.BudgetView) string {
	var usedUSD, usedTokens, usedRequests, resets string
	if s := b.Standing; s != nil {
		usedUSD, usedTokens, usedRequests = s.UsedUSD+" of $", fmt.Sprintf("%d of ", s.UsedTokens), fmt.Sprintf("%d of ", s.UsedRequests)
		if s.ResetsAt != nil {
			resets = ", resets " + *s.ResetsAt
		}
	}
	var limits []string
	if b.USD != nil {
		limits = append(limits, "$"+usedUSD+*b.USD)
	}
	if b.Tokens != nil {
		limits = append(limits, fmt.Sprintf("%s%d tokens", usedTokens, *b.Tokens))
	}
	if b.Requests != nil {
		limits = append(limits, fmt.Sprintf("%s%d requests", usedRequests, *b.Requests))
	}
	return fmt.Sprintf("%s, per %s (%s): %s%s", b.Scope, b.Period, b.Zone, strings.Join(limits, ", "), resets)
}
