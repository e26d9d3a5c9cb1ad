package finance

import (
	"fmt"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
)

// Prices is "tallyroute prices".
type Prices struct {
	Reprice pricesReprice `cmd:"" help:"Recalculate the cost of a period at the catalogue's prices, and post the differences."`
}

type pricesReprice struct {
	cli.PlainFormat
	Provider string `help:"Only this provider." placeholder:"NAME"`
	Model    string `help:"Only this model, under its name in reports." placeholder:"NAME"`
	From     string `required:"" help:"First day, in the reporting time zone, or an instant." placeholder:"YYYY-MM-DD"`
	To       string `required:"" help:"The first day or instant that is not included." placeholder:"YYYY-MM-DD"`
	Reason   string `required:"" help:"Why. It is on every row that is posted." placeholder:"TEXT"`
	DryRun   bool   `help:"Only report what would be posted."`
}

// Run posts an adjustment for every row whose cost is different at today's prices.
func (c pricesReprice) Run(a *cli.Context) error {
	n := cli.Needs{}
	if a.Router == "" {
		_, b, err := a.Settings()
		if err != nil {
			return err
		}
		n.Prices = b.Prices
	}
	return a.Ask(n, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.RepricedView](a.Ctx, r, adminapi.Post("/prices/reprice", cli.Fields{
			"provider": c.Provider, "model": c.Model, "from": c.From, "to": c.To, "dry_run": c.DryRun, "reason": c.Reason,
		}))
		if err != nil {
			return err
		}
		return c.write(a, v)
	})
}

func (c pricesReprice) write(a *cli.Context, v manage.RepricedView) error {
	if c.Output == "json" {
		return cli.PrintJSON(a.Stdout, v)
	}
	posted := "posted"
	if c.DryRun {
		posted = "would post"
	}
	_, err := fmt.Fprintf(a.Stdout, "looked at %d rows: %s %d adjustments of $%s together; %d had no price before, %d have none now\n",
		v.Rows, posted, v.Adjusted, v.Difference, v.Priced, v.Unpriced)
	return err
}
