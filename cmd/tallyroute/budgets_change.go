package main

import (
	"fmt"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/config"
)

type budgetsUpdate struct {
	ID       string      `arg:"" help:"Id of the budget: bud_…"`
	Period   string      `help:"When it resets: day, week, month, quarter, year or once." enum:",day,week,month,quarter,year,once" default:"" placeholder:"PERIOD"`
	Zone     string      `help:"Time zone of the period." placeholder:"ZONE"`
	USD      *config.USD `help:"Limit in dollars." placeholder:"AMOUNT"`
	Tokens   *int64      `help:"Limit in tokens." placeholder:"N"`
	NoUSD    bool        `help:"Remove the limit in dollars."`
	NoTokens bool        `help:"Remove the limit in tokens."`
	Reason   string      `help:"Why, for the record." placeholder:"TEXT"`
}

// Run changes the budget. What was used of it stays used.
func (c budgetsUpdate) Run(a *cli) error {
	change := manage.BudgetChange{
		Budget:  billing.Budget{Period: billing.Period(c.Period), Zone: c.Zone, Money: c.USD.Money(), Tokens: c.Tokens},
		NoMoney: c.NoUSD, NoTokens: c.NoTokens,
	}
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		b, err := m.ChangeBudget(a.ctx, c.ID, change, by(c.Reason))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "%s: %s\n", b.ID, budgetLine(b, nil))
		return err
	})
}

type budgetsRemove struct {
	ID     string `arg:"" help:"Id of the budget: bud_…"`
	Reason string `help:"Why, for the record." placeholder:"TEXT"`
}

// Run ends the budget.
func (c budgetsRemove) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		if err := m.RemoveBudget(a.ctx, c.ID, by(c.Reason)); err != nil {
			return err
		}
		_, err := fmt.Fprintf(a.stdout, "%s is removed.\n", c.ID)
		return err
	})
}

type budgetsReset struct {
	ID     string `arg:"" help:"Id of the budget: bud_…"`
	Reason string `help:"Why, for the record." required:"" placeholder:"TEXT"`
}

// Run has what was used count no more.
func (c budgetsReset) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		s, err := m.ResetBudget(a.ctx, c.ID, by(c.Reason))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "%s: %s\n", c.ID, budgetLine(s.Budget, []billing.Balance{s}))
		return err
	})
}

type keysTopUp struct {
	ID        string     `arg:"" help:"Id of the key: key_…"`
	USD       config.USD `help:"Dollars that are added." required:"" placeholder:"AMOUNT"`
	Reference string     `help:"Number of the order or payment. The same one again changes nothing." required:"" placeholder:"TEXT"`
	Reason    string     `help:"Why, for the record." placeholder:"TEXT"`
}

// Run adds to the budget.
func (c keysTopUp) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		s, err := m.TopUp(a.ctx, billing.KeyID(c.ID), billing.Money(c.USD), c.Reference, by(c.Reason))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "%s: %s\n", s.Budget.ID, budgetLine(s.Budget, []billing.Balance{s}))
		return err
	})
}
