package finance

import (
	"fmt"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/config"
)

type budgetsUpdate struct {
	cli.Rehearsal
	ID     string `arg:"" help:"Id of the budget: bud_…"`
	Period string `help:"When it resets: ${resets}." enum:",${periods}" default:"" placeholder:"PERIOD"`
	Zone   string `help:"Time zone of the period." placeholder:"ZONE"`
	limitFlags
	NoUSD      bool   `help:"Remove the limit in dollars."`
	NoTokens   bool   `help:"Remove the limit in tokens."`
	NoRequests bool   `help:"Remove the limit in requests."`
	Reason     string `help:"Why, for the record." placeholder:"TEXT"`
}

// Run changes the budget. What has been used of it still counts.
func (c budgetsUpdate) Run(a *cli.Context) error {
	change := cli.Fields{"reason": c.Reason}
	if c.Period != "" {
		change["period"] = c.Period
	}
	if c.Zone != "" {
		change["zone"] = c.Zone
	}
	c.add(change)
	for name, none := range map[string]bool{"usd": c.NoUSD, "tokens": c.NoTokens, "requests": c.NoRequests} {
		if _, there := change[name]; there && none {
			return cli.Usagef("--%s and --no-%s contradict each other", name, name)
		}
		if none {
			change[name] = nil
		}
	}
	return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
		b, err := adminapi.Do[manage.BudgetView](a.Ctx, r, adminapi.Patch("/budgets"+adminapi.Path(c.ID), change))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "%s: %s\n", b.ID, BudgetLine(b))
		return err
	})
}

type budgetsRemove struct {
	cli.Rehearsal
	ID     string `arg:"" help:"Id of the budget: bud_…"`
	Reason string `help:"Why, for the record." placeholder:"TEXT"`
}

// Run removes the budget.
func (c budgetsRemove) Run(a *cli.Context) error {
	return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
		if err := r.Do(a.Ctx, adminapi.Delete("/budgets"+adminapi.Path(c.ID), adminapi.Query("reason", c.Reason)), nil); err != nil {
			return err
		}
		_, err := fmt.Fprintf(a.Stdout, "%s is removed.\n", c.ID)
		return err
	})
}

type budgetsReset struct {
	cli.Rehearsal
	ID     string `arg:"" help:"Id of the budget: bud_…"`
	Reason string `help:"Why, for the record." required:"" placeholder:"TEXT"`
}

// Run resets what has been used of the budget.
func (c budgetsReset) Run(a *cli.Context) error {
	return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
		b, err := adminapi.Do[manage.BudgetView](a.Ctx, r, adminapi.Post("/budgets"+adminapi.Path(c.ID, "reset"),
			cli.Fields{"reason": c.Reason}))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "%s: %s\n", c.ID, BudgetLine(b))
		return err
	})
}

// limitFlags say what a budget limits, and what it does near its limits.
type limitFlags struct {
	USD       *config.USD `help:"Limit in dollars." placeholder:"AMOUNT"`
	Tokens    *int64      `help:"Limit in tokens." placeholder:"N"`
	Requests  *int64      `help:"Limit in requests." placeholder:"N"`
	Starts    string      `help:"First day of the fiscal year, which months, quarters and years follow." placeholder:"MM-DD"`
	Action    string      `help:"Near a limit: ${actions}." enum:",block,downgrade,alert" default:"" placeholder:"ACTION"`
	Threshold []int       `help:"Percentage of a limit that records an event; repeatable. Default: 50, 80, 100." placeholder:"PERCENT"`
}

// add adds the given flags to the body of a budget request.
func (c limitFlags) add(budget cli.Fields) {
	Limit(budget, c.USD, c.Tokens, c.Requests)
	if c.Starts != "" {
		budget["starts"] = c.Starts
	}
	if c.Action != "" {
		budget["action"] = c.Action
	}
	if c.Threshold != nil {
		budget["thresholds"] = c.Threshold
	}
}

// Limit adds the given limits to the body of a budget request.
func Limit(budget cli.Fields, usd *config.USD, tokens, requests *int64) {
	if usd != nil {
		budget["usd"] = usd.Money().String()
	}
	if tokens != nil {
		budget["tokens"] = *tokens
	}
	if requests != nil {
		budget["requests"] = *requests
	}
}
