package main

import (
	"fmt"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/config"
)

// pricesCommand is "tallyroute prices".
type pricesCommand struct {
	Reprice pricesReprice `cmd:"" help:"Cost what was used in a span of time again, by the prices of the catalogue, and post the differences."`
}

type pricesReprice struct {
	plainFormat
	Provider string `help:"Only this provider." placeholder:"NAME"`
	Model    string `help:"Only this model, as it is called in the reports." placeholder:"NAME"`
	From     string `required:"" help:"First day, in the reporting time zone, or an instant." placeholder:"YYYY-MM-DD"`
	To       string `required:"" help:"The day or instant after the last." placeholder:"YYYY-MM-DD"`
	Reason   string `required:"" help:"Why. It is on every row that is posted." placeholder:"TEXT"`
	DryRun   bool   `help:"Only say what would be posted."`
}

// Run posts an adjustment for every row that costs something else now.
func (c pricesReprice) Run(a *cli) error {
	_, b, err := a.settings()
	if err != nil {
		return err
	}
	return a.withActions(func(m manage.Actions, cfg *config.Config) error {
		zone, err := app.Zone(cfg)
		if err != nil {
			return err
		}
		r := manage.Repricing{Provider: c.Provider, Model: c.Model, DryRun: c.DryRun}
		if r.From, err = moment("--from", c.From, zone); err != nil {
			return err
		}
		if r.To, err = moment("--to", c.To, zone); err != nil {
			return err
		}
		sum, err := m.Reprice(a.ctx, r, b.Prices(), by(c.Reason))
		if err != nil {
			return err
		}
		return c.write(a, manage.ViewRepriced(r, sum))
	})
}

func (c pricesReprice) write(a *cli, v manage.RepricedView) error {
	if c.Output == "json" {
		return printJSON(a.stdout, v)
	}
	posted := "posted"
	if c.DryRun {
		posted = "would post"
	}
	_, err := fmt.Fprintf(a.stdout, "looked at %d rows: %s %d adjustments of $%s together; %d had no price before, %d have none now\n",
		v.Rows, posted, v.Adjusted, v.Difference, v.Priced, v.Unpriced)
	return err
}
