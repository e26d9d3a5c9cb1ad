package finance

import (
	"fmt"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/config"
)

// Spend is "tallyroute spend": the rows of the ledger.
type Spend struct {
	Adjust  spendAdjust  `cmd:"" help:"Post a correction to a key: an adjustment, a credit, a refund or a fee."`
	Rejects spendRejects `cmd:"" help:"Rows that the ledger refused: list and book them."`
	Archive spendArchive `cmd:"" help:"Write the rows of a closed month to a file and remove them from the database. Every total is kept."`
}

type spendAdjust struct {
	Key    string           `arg:"" help:"Id of the key."`
	Amount config.SignedUSD `required:"" help:"Dollars: charged by a fee or adjustment (may be negative), else returned." placeholder:"USD"`
	Kind   string           `help:"What it is: ${enum}." enum:"adjustment,credit,refund,fee" default:"adjustment"`
	Month  string           `help:"The month that it is for. Default: this month." placeholder:"YYYY-MM"`
	Reason string           `required:"" help:"Why. It is on the row." placeholder:"TEXT"`
}

// Run posts the correction.
func (c spendAdjust) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		row, err := adminapi.Do[manage.AdjustmentView](a.Ctx, r, adminapi.Post("/spend/adjustments", cli.Fields{
			"key_id": c.Key, "kind": c.Kind, "amount_usd": billing.Money(c.Amount).String(), "month": c.Month, "reason": c.Reason,
		}))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "%s: %s of $%s posted to %s\n", row.RequestID, c.Kind, row.AmountUSD, c.Key)
		return err
	})
}
