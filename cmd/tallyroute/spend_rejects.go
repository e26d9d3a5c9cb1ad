package main

import (
	"errors"
	"fmt"
	"slices"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
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
	return a.ask(needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.RejectView](a.ctx, r, "/rejects", nil, 0)
		if err != nil {
			return err
		}
		t := table{header: []string{"REQUEST", "ATTEMPT", "KEY", "OCCURRED", "MODEL", "TOKENS", "USD", "REASON"}, records: all}
		for _, v := range all {
			t.add(text(v.RequestID), number(int64(v.Attempt)), text(string(v.KeyID)), text(value(v.OccurredAt)),
				text(v.Provider+"/"+v.Model), number(v.Tokens), amount(v.CostUSD), text(v.Reason))
		}
		return t.write(a.stdout, c.Output)
	})
}

type rejectsBook struct {
	Requests []string `arg:"" optional:"" name:"request" help:"Ids of the requests; without any, all that wait."`
}

// Run books the rows. One request that is still refused keeps no other from it.
func (c rejectsBook) Run(a *cli) error {
	return a.ask(needs{}, func(r adminapi.API) error {
		requests := c.Requests
		if len(requests) == 0 {
			all, err := adminapi.All[manage.RejectView](a.ctx, r, "/rejects", nil, 0)
			if err != nil {
				return err
			}
			for _, v := range all {
				if !slices.Contains(requests, v.RequestID) {
					requests = append(requests, v.RequestID)
				}
			}
		}
		var faults []error
		for _, id := range requests {
			b, err := adminapi.Do[manage.Booked](a.ctx, r, adminapi.Post("/rejects"+adminapi.Path(id, "book"), nil))
			if err != nil {
				faults = append(faults, &manage.RequestError{RequestID: id, Err: err})
				continue
			}
			fmt.Fprintf(a.stdout, "%s: %d rows booked\n", b.RequestID, b.Rows)
		}
		return errors.Join(faults...)
	})
}
