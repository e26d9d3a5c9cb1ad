package finance

import (
	"fmt"
	"time"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/config"
)

type budgetsRaise struct {
	cli.Rehearsal
	ID       string      `arg:"" help:"Id of the budget: bud_…"`
	USD      *config.USD `help:"The number of dollars to add." placeholder:"AMOUNT"`
	Tokens   *int64      `help:"The number of tokens to add." placeholder:"N"`
	Requests *int64      `help:"The number of requests to add." placeholder:"N"`
	From     *time.Time  `help:"When it begins, such as 2026-12-24T00:00:00Z. Default: at once." placeholder:"TIME"`
	Until    time.Time   `help:"When the limit returns to its former value." required:"" placeholder:"TIME"`
	Reason   string      `help:"Why, for the record." required:"" placeholder:"TEXT"`
}

// Run raises the limits temporarily.
func (c budgetsRaise) Run(a *cli.Context) error {
	raise := cli.Fields{"until": c.Until.Format(time.RFC3339), "reason": c.Reason}
	Limit(raise, c.USD, c.Tokens, c.Requests)
	if c.From != nil {
		raise["from"] = c.From.Format(time.RFC3339)
	}
	return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
		b, err := adminapi.Do[manage.BudgetView](a.Ctx, r, adminapi.Post("/budgets"+adminapi.Path(c.ID, "raise"), raise))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "%s: %s\n", b.ID, BudgetLine(b))
		return err
	})
}
