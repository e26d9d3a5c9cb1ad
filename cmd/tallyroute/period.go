package main

import (
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/config"
)

// periodCommand is "tallyroute period": the months of the ledger.
type periodCommand struct {
	List   periodList   `cmd:"" help:"List the months: open, closed or archived, with their sums."`
	Close  periodClose  `cmd:"" help:"Close a month that is over: it takes no more rows, and its sum and digest are kept."`
	Reopen periodReopen `cmd:"" help:"Open a closed month again."`
}

func periodTable(all ...billing.PeriodStanding) *table {
	t := &table{header: []string{"MONTH", "STATUS", "ROWS", "USD", "UNPRICED", "CLOSED", "BY", "SHA256"}}
	views := []manage.PeriodView{}
	for _, p := range all {
		digest := p.SHA256
		if p.Status != billing.PeriodOpen && digest == "" {
			digest = "close it again: the last close was cut short"
		}
		t.add(text(string(p.Month)), text(string(p.Status)), number(p.Rows), money(p.Money), number(p.Unpriced),
			text(day(p.ClosedAt)), text(orElse(p.ClosedBy, "-")), text(orElse(digest, "-")))
		views = append(views, manage.ViewPeriod(p))
	}
	t.records = views
	return t
}

type periodList struct{ format }

// Run lists the months.
func (c periodList) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		all, err := m.Periods(a.ctx)
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
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		p, err := m.ClosePeriod(a.ctx, manage.Closing{Month: c.Month, AcceptUnpriced: c.AcceptUnpriced}, by(""))
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
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		p, err := m.ReopenPeriod(a.ctx, c.Month, by(c.Reason))
		if err != nil {
			return err
		}
		return periodTable(p).write(a.stdout, c.Output)
	})
}

// moment is an instant on the command line: a day in the reporting time zone, or
// RFC 3339.
func moment(flag, s string, zone *time.Location) (time.Time, error) {
	if t, err := time.ParseInLocation(time.DateOnly, s, zone); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, usagef("%s: want YYYY-MM-DD or a time such as 2026-11-25T12:00:00Z", flag)
	}
	return t, nil
}
