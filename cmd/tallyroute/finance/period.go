package finance

import (
	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
)

// Period is "tallyroute period": the months of the ledger.
type Period struct {
	List   periodList   `cmd:"" help:"List the months: open, closed or archived, with their sums."`
	Close  periodClose  `cmd:"" help:"Close a month that is over: it takes no more rows, and its sum and digest are kept."`
	Reopen periodReopen `cmd:"" help:"Open a closed month again."`
}

func periodTable(all ...manage.PeriodView) *cli.Table {
	t := &cli.Table{Header: []string{"MONTH", "STATUS", "ROWS", "USD", "UNPRICED", "CLOSED", "BY", "SHA256"}, Records: all}
	for _, p := range all {
		digest := cli.Value(p.SHA256)
		if p.Status != billing.PeriodOpen && digest == "" {
			digest = "close it again: the last close was cut short"
		}
		t.Add(cli.Text(string(p.Month)), cli.Text(string(p.Status)), cli.Number(p.Rows), amount(p.CostUSD), cli.Number(p.Unpriced),
			cli.Text(cli.DayOf(p.ClosedAt)), cli.Text(cli.OrElse(cli.Value(p.ClosedBy), "-")), cli.Text(cli.OrElse(digest, "-")))
	}
	return t
}

type periodList struct{ cli.Format }

// Run lists the months.
func (c periodList) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.PeriodView](a.Ctx, r, "/periods", nil, 0)
		if err != nil {
			return err
		}
		return periodTable(all...).Write(a.Stdout, c.Output)
	})
}

type periodClose struct {
	cli.Format
	Month          string `arg:"" help:"The month, as YYYY-MM, in the reporting time zone."`
	AcceptUnpriced bool   `help:"Close it even if some of its attempts have no price."`
}

// Run closes the month.
func (c periodClose) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		p, err := adminapi.Do[manage.PeriodView](a.Ctx, r, adminapi.Post("/periods"+adminapi.Path(c.Month, "close"), cli.Fields{
			"accept_unpriced": c.AcceptUnpriced,
		}))
		if err != nil {
			return err
		}
		return periodTable(p).Write(a.Stdout, c.Output)
	})
}

type periodReopen struct {
	cli.Format
	Month  string `arg:"" help:"The month, as YYYY-MM, in the reporting time zone."`
	Reason string `required:"" help:"Why. It is recorded." placeholder:"TEXT"`
}

// Run reopens the month.
func (c periodReopen) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		p, err := adminapi.Do[manage.PeriodView](a.Ctx, r, adminapi.Post("/periods"+adminapi.Path(c.Month, "reopen"), cli.Fields{
			"reason": c.Reason,
		}))
		if err != nil {
			return err
		}
		return periodTable(p).Write(a.Stdout, c.Output)
	})
}
