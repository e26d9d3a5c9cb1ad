package finance

import (
	"errors"
	"fmt"
	"slices"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
)

// spendRejects is "tallyroute spend rejects": rows that the ledger refused because of their
// content. They count against the budgets, but appear in no report.
type spendRejects struct {
	List rejectsList `cmd:"" help:"List the rows that wait to be booked, oldest first."`
	Book rejectsBook `cmd:"" help:"Book the rows of requests, once whatever refused them is fixed."`
}

type rejectsList struct{ cli.Format }

// Run lists the rows.
func (c rejectsList) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.RejectView](a.Ctx, r, "/rejects", nil, 0)
		if err != nil {
			return err
		}
		t := cli.Table{Header: []string{"REQUEST", "ATTEMPT", "KEY", "OCCURRED", "MODEL", "TOKENS", "USD", "REASON"}, Records: all}
		for _, v := range all {
			t.Add(cli.Text(v.RequestID), cli.Number(int64(v.Attempt)), cli.Text(string(v.KeyID)), cli.Text(cli.Value(v.OccurredAt)),
				cli.Text(v.Provider+"/"+v.Model), cli.Number(v.Tokens), amount(v.CostUSD), cli.Text(v.Reason))
		}
		return t.Write(a.Stdout, c.Output)
	})
}

type rejectsBook struct {
	Requests []string `arg:"" optional:"" name:"request" help:"Ids of the requests. Default: all that wait."`
}

// Run books the rows. A request that is still refused doesn't hold up the others.
func (c rejectsBook) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		requests := c.Requests
		if len(requests) == 0 {
			all, err := adminapi.All[manage.RejectView](a.Ctx, r, "/rejects", nil, 0)
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
			b, err := adminapi.Do[manage.Booked](a.Ctx, r, adminapi.Post("/rejects"+adminapi.Path(id, "book"), nil))
			if err != nil {
				faults = append(faults, &manage.RequestError{RequestID: id, Err: err})
				continue
			}
			fmt.Fprintf(a.Stdout, "%s: %d rows booked\n", b.RequestID, b.Rows)
		}
		return errors.Join(faults...)
	})
}
