package main

import (
	"fmt"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/config"
)

// spendRejects is "tallyroute spend rejects": rows that the ledger refused for
// what is in them. They count against the budgets, and are in no report.
type spendRejects struct {
	List rejectsList `cmd:"" help:"List the rows that wait to be booked, the oldest first."`
	Book rejectsBook `cmd:"" help:"Book the rows of requests, once whatever refused them is fixed."`
}

type rejectsList struct{ format }

// Run lists the rows.
func (c rejectsList) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		all, err := m.Rejects(a.ctx)
		if err != nil {
			return err
		}
		t := table{header: []string{"REQUEST", "ATTEMPT", "KEY", "OCCURRED", "MODEL", "TOKENS", "USD", "REASON"}}
		views := []manage.RejectView{}
		for _, r := range all {
			used, row := r.Used(), r.Row
			t.add(text(row.RequestID), number(int64(row.Attempt)), text(string(row.Owner.KeyID)), text(timestamp(row.OccurredAt)),
				text(row.Provider+"/"+row.Model), number(used.Tokens), money(used.Money), text(r.Reason))
			views = append(views, manage.ViewReject(r))
		}
		t.records = views
		return t.write(a.stdout, c.Output)
	})
}

type rejectsBook struct {
	Requests []string `arg:"" optional:"" name:"request" help:"Ids of the requests; without any, all that wait."`
}

// Run books the rows. One request that is still refused keeps no other from it.
func (c rejectsBook) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		booked, err := m.BookRejects(a.ctx, c.Requests, by(""))
		for _, b := range booked {
			fmt.Fprintf(a.stdout, "%s: %d rows booked\n", b.RequestID, b.Rows)
		}
		return err
	})
}
