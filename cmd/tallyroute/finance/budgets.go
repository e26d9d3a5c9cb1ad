package finance

import (
	"fmt"
	"maps"
	"strings"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
)

// Budgets is "tallyroute budgets": limits at any level, from a key up to the organisation.
type Budgets struct {
	List   budgetsList   `cmd:"" help:"List the budgets with what is used, held and left."`
	Names  budgetsNames  `cmd:"" help:"List the names that a budget for a part limits, and what each has used."`
	Set    budgetsSet    `cmd:"" help:"Set the budget of a team, a project, a key or the whole organisation."`
	Update budgetsUpdate `cmd:"" help:"Change a budget by its id."`
	Remove budgetsRemove `cmd:"" help:"Remove a budget: it no longer applies."`
	Raise  budgetsRaise  `cmd:"" help:"Raise the limits of a budget for a limited time."`
	Reset  budgetsReset  `cmd:"" help:"Reset the usage of the current period to zero."`
}

type budgetsList struct{ cli.Format }

// Run lists the budgets.
func (c budgetsList) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		budgets, err := adminapi.All[manage.BudgetView](a.Ctx, r, "/budgets", nil, 0)
		if err != nil {
			return err
		}
		t := cli.Table{Records: budgets, Header: []string{
			"ID", "SCOPE", "OF", "PART", "PERIOD", "ZONE", "USD", "USED", "HELD", "LEFT", "FORECAST", "TOKENS", "USED TOKENS",
			"HELD TOKENS",
			"LEFT TOKENS", "REQUESTS", "USED REQUESTS", "HELD REQUESTS", "LEFT REQUESTS", "ACTION", "RESETS", "RAISED",
		}}
		for _, b := range budgets {
			s, resets := b.Standing, "-" // a budget for a part has no standing of its own
			if s == nil {
				s = &manage.Standing{}
			} else {
				resets = cli.OrElse(cli.Value(s.ResetsAt), "never")
			}
			t.Add(cli.Text(b.ID), cli.Text(b.Scope), cli.Text(b.ScopeName), cli.Text(partOf(b)), cli.Text(b.Period), cli.Text(b.Zone),
				limitOf(b.USD), cli.DollarsOf(s.UsedUSD), cli.DollarsOf(s.HeldUSD), limitOf(s.RemainingUSD), limitOf(s.ForecastUSD),
				tokensOf(b.Tokens), cli.Number(s.UsedTokens), cli.Number(s.HeldTokens), tokensOf(s.RemainingTokens),
				tokensOf(b.Requests), cli.Number(s.UsedRequests), cli.Number(s.HeldRequests), tokensOf(s.RemainingRequests),
				cli.Text(b.Action),
				cli.Text(resets), cli.Text(cli.OrElse(strings.TrimPrefix(raisedText(b), ", raised "), "no")))
		}
		return t.Write(a.Stdout, c.Output)
	})
}

type budgetsNames struct {
	ID   string `arg:"" help:"Id of the budget: bud_…"`
	Name string `help:"Only this name. Users and end users are found by it alone: only a hash of them is stored." placeholder:"NAME"`
	cli.Format
}

// Run lists the names.
func (c budgetsNames) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		names, err := adminapi.All[manage.NameView](a.Ctx, r, "/budgets"+adminapi.Path(c.ID, "names"), adminapi.Query("name", c.Name), 0)
		if err != nil {
			return err
		}
		t := cli.Table{Records: names, Header: []string{
			"ID", "NAME", "USED", "HELD", "LEFT", "USED TOKENS", "HELD TOKENS", "LEFT TOKENS", "USED REQUESTS", "HELD REQUESTS",
			"LEFT REQUESTS", "RESETS",
		}}
		for _, n := range names {
			s, name := n.Standing, cli.OrElse(cli.Value(n.Name), cli.OrElse(c.Name, "-"))
			if n.Shared {
				name = "(all others)"
			}
			t.Add(cli.Text(n.ID), cli.Text(name), cli.DollarsOf(s.UsedUSD), cli.DollarsOf(s.HeldUSD), limitOf(s.RemainingUSD),
				cli.Number(s.UsedTokens), cli.Number(s.HeldTokens), tokensOf(s.RemainingTokens), cli.Number(s.UsedRequests),
				cli.Number(s.HeldRequests), tokensOf(s.RemainingRequests), cli.Text(cli.OrElse(cli.Value(s.ResetsAt), "never")))
		}
		return t.Write(a.Stdout, c.Output)
	})
}

// partOf says which part of its scope a budget limits: "all", "model gpt-4o", "each
// end_user".
func partOf(b manage.BudgetView) string {
	switch {
	case b.Part == "":
		return "all"
	case b.Named == "":
		return "each " + b.Part
	}
	return b.Part + " " + b.Named
}

func limitOf(usd *string) cli.Cell {
	if usd == nil {
		return cli.Text("-")
	}
	return cli.DollarsOf(*usd)
}

func tokensOf(n *int64) cli.Cell {
	if n == nil {
		return cli.Text("-")
	}
	return cli.Number(*n)
}

type budgetsSet struct {
	Scope  string `arg:"" help:"What it limits: ${enum}." enum:"org,team,project,key"`
	Of     string `arg:"" optional:"" help:"Id or name of the team, team/name or id of the project, id of the key."`
	Period string `help:"When it resets: ${resets}." enum:"${periods}" default:"month"`
	Zone   string `help:"Time zone of the period. Default: that of the existing budget, or UTC." placeholder:"ZONE"`
	Part   string `help:"The part that is limited: model, credential, user, end_user or tag:NAME. Default: all." placeholder:"PART"`
	Named  string `help:"Name of the part; for models and credentials, also a pattern with *. Default: each by itself." placeholder:"NAME"`
	limitFlags
}

// Run sets the budget. If there already is one for the same scope and period, it is changed
// and keeps what has been used of it.
func (c budgetsSet) Run(a *cli.Context) error {
	said := cli.Fields{}
	if c.add(said); len(said) == 0 && c.Zone == "" {
		return cli.Usagef("needs --usd, --tokens or --requests, or what else of a budget that exists is to be different")
	}
	if c.Of == "" && c.Scope != string(billing.ScopeOrg) {
		return cli.Usagef("say which %s", c.Scope)
	}
	maps.Copy(said, cli.Fields{"scope": c.Scope, "scope_id": c.Of, "period": c.Period, "zone": c.Zone, "part": c.Part, "named": c.Named})
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		b, err := adminapi.Do[manage.BudgetView](a.Ctx, r, adminapi.Post("/budgets", said))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "%s: %s, %s in %s\n", b.ID, strings.TrimSpace(c.Scope+" "+c.Of)+
			billing.Budget{Part: billing.Part(b.Part), Named: b.Named}.PartWords(), billing.Period(b.Period).Words(), b.Zone)
		return err
	})
}

// BudgetLine describes a budget: "key, per month (UTC): $3.2 of $50, resets
// 2026-12-01T00:00:00Z".
func BudgetLine(b manage.BudgetView) string {
	var usedUSD, usedTokens, usedRequests, resets string
	if s := b.Standing; s != nil && b.Period == string(billing.PeriodConcurrent) {
		usedRequests = fmt.Sprintf("%d of ", s.HeldRequests)
	} else if s != nil {
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
	of := b.Scope
	if b.Scope != string(billing.ScopeOrg) && b.ScopeName != "" {
		of += " " + b.ScopeName
	}
	of += billing.Budget{Part: billing.Part(b.Part), Named: b.Named}.PartWords()
	return fmt.Sprintf("%s, %s (%s): %s%s%s", of, billing.Period(b.Period).Words(), b.Zone, strings.Join(limits, ", "), resets,
		raisedText(b))
}

// raisedText describes a raise of the limits: ", raised by $5 until 2026-12-01T00:00:00Z"; ""
// if there is none.
func raisedText(b manage.BudgetView) string {
	if b.Standing == nil || b.Standing.Raised == nil {
		return ""
	}
	r := b.Standing.Raised
	var by []string
	if b.USD != nil && r.USD != "0" {
		by = append(by, "$"+r.USD)
	}
	if r.Tokens > 0 {
		by = append(by, fmt.Sprintf("%d tokens", r.Tokens))
	}
	if r.Requests > 0 {
		by = append(by, fmt.Sprintf("%d requests", r.Requests))
	}
	return ", raised by " + strings.Join(by, " and ") + " until " + r.Until
}
