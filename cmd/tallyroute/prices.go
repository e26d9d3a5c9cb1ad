package main

import (
	"fmt"
	"time"

	"tallyroute/billing"
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

// repricedView is the result as JSON shows it.
type repricedView struct {
	DryRun     bool   `json:"dry_run"`
	Rows       int64  `json:"rows"`
	Adjusted   int64  `json:"adjusted"`
	Priced     int64  `json:"priced_for_the_first_time"`
	Unpriced   int64  `json:"still_unpriced"`
	Difference string `json:"difference_usd"`
}

// Run posts an adjustment for every row that costs something else now.
func (c pricesReprice) Run(a *app) error {
	_, b, err := a.settings()
	if err != nil {
		return err
	}
	return a.withStore(func(s billing.Store, cfg *Config) error {
		zone, err := cfg.reporting()
		if err != nil {
			return err
		}
		r := billing.Repricing{
			Provider: c.Provider, Model: c.Model, Reason: c.Reason, Actor: whoami(), Now: time.Now(), DryRun: c.DryRun,
			Price: repricedBy(billing.NewPriceBook(b.Prices())),
		}
		if r.From, err = moment("--from", c.From, zone); err != nil {
			return err
		}
		if r.To, err = moment("--to", c.To, zone); err != nil {
			return err
		}
		if !r.From.Before(r.To) {
			return usagef("--to must be after --from")
		}
		if !c.DryRun {
			if err := s.RecordPrices(a.ctx, b.Prices()); err != nil {
				return err
			}
		}
		sum, err := s.Reprice(a.ctx, r)
		if err != nil {
			return err
		}
		return c.write(a, sum)
	})
}

func (c pricesReprice) write(a *app, sum billing.Repriced) error {
	if c.Output == "json" {
		return printJSON(a.stdout, repricedView{c.DryRun, sum.Rows, sum.Adjusted, sum.Priced, sum.Unpriced, sum.Difference.String()})
	}
	posted := "posted"
	if c.DryRun {
		posted = "would post"
	}
	_, err := fmt.Fprintf(a.stdout, "looked at %d rows: %s %d adjustments of $%s together; %d had no price before, %d have none now\n",
		sum.Rows, posted, sum.Adjusted, sum.Difference, sum.Priced, sum.Unpriced)
	return err
}

// repricedBy finds the price that a row should have been costed with, as the
// router does.
func repricedBy(prices *billing.PriceBook) func(billing.Spend) (billing.Price, bool) {
	return func(row billing.Spend) (billing.Price, bool) {
		return prices.At(row.Provider, row.Model, row.OccurredAt).Asked(row.ServiceTier, row.Tokens.Prompt())
	}
}
