package main

import (
	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
)

// periodCommand is "tallyroute period": the months of the ledger.
type periodCommand struct {
	List   periodList   `cmd:"" help:"List the months: open, closed or archived, with their sums."`
	Close  periodClose  `cmd:"" help:"Close a month that is over: it takes no more rows, and its sum and digest are kept."`
	Reopen periodReopen `cmd:"" help:"Open a closed month again."`
}

func periodTable(all ...manage.PeriodView) *table {
	t := &table{header: []string{"MONTH", "STATUS", "ROWS", "USD", "UNPRICED", "CLOSED", "BY", "SHA256"}, records: all}
	for _, p := range all {
		digest := value(p.SHA256)
		if p.Status != billing.PeriodOpen && digest == "" {
			digest = "close it again: the last close was cut short"
		}
		t.add(text(string(p.Month)), text(string(p.Status)), number(p.Rows), amount(p.CostUSD), number(p.Unpriced),
			text(dayOf(p.ClosedAt)), text(orElse(value(p.ClosedBy), "-")), text(orElse(digest, "-")))
	}
	return t
}

type periodList struct{ format }

// Run lists the months.
func (c periodList) Run(a *cli) error {
	return a.ask(needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.PeriodView](a.ctx, r, "/periods", nil, 0)
		if err != nil {
			return err
		}
		return periodTable(all...).write(a.stdout, c.Output)
	})
}

type periodClose struct {
	format
	Month          string `arg:"" help:"The month, as YYYY-MM, in the reporting time zone."`
	AcceptUnpriced bool   `help:"Close it although attempts in it have no price."`
}

// Run closes the month.
func (c periodClose) Run(a *cli) error {
	return a.ask(needs{}, func(r adminapi.API) error {
		p, err := adminapi.Do[manage.PeriodView](a.ctx, r, adminapi.Post("/periods"+adminapi.Path(c.Month, "close"), fields{
			"accept_unpriced": c.AcceptUnpriced,
		}))
		if err != nil {
			return err
		}
		return periodTable(p).write(a.stdout, c.Output)
	})
}

type periodReopen struct {
	format
	Month  string `arg:"" help:"The month, as YYYY-MM, in the reporting time zone."`
	Reason string `required:"" help:"Why. It is recorded." placeholder:"TEXT"`
}

// Run opens the month again.
func (c periodReopen) Run(a *cli) error {
	return a.ask(needs{}, func(r adminapi.API) error {
		p, err := adminapi.Do[manage.PeriodView](a.ctx, r, adminapi.Post("/periods"+adminapi.Path(c.Month, "reopen"), fields{
			"reason": c.Reason,
		}))
		if err != nil {
			return err
		}
		return periodTable(p).write(a.stdout, c.Output)
	})
}
