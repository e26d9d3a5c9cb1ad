package main

import (
	"errors"
	"fmt"
	"slices"

	"tallyroute/billing"
)

// spendRejects is "tallyroute spend rejects": rows that the ledger refused for
// what is in them. They count against the budgets, and are in no report.
type spendRejects struct {
	List rejectsList `cmd:"" help:"List the rows that wait to be booked, the oldest first."`
	Book rejectsBook `cmd:"" help:"Book the rows of requests, once whatever refused them is mended."`
}

type rejectsList struct{ format }

// rejectView is a row that waits as JSON shows it.
type rejectView struct {
	Request  string        `json:"request_id"`
	Attempt  int           `json:"attempt"`
	Key      billing.KeyID `json:"key_id"`
	Occurred string        `json:"occurred_at"`
	Rejected string        `json:"rejected_at"`
	Provider string        `json:"provider"`
	Model    string        `json:"model"`
	Tokens   int64         `json:"tokens"`
	USD      string        `json:"usd"`
	Reason   string        `json:"reason"`
}

// Run lists the rows.
func (c rejectsList) Run(a *app) error {
	return a.withStore(func(s billing.Store, _ *Config) error {
		all, err := s.ListRejects(a.ctx)
		if err != nil {
			return err
		}
		t := table{header: []string{"REQUEST", "ATTEMPT", "KEY", "OCCURRED", "MODEL", "TOKENS", "USD", "REASON"}}
		views := []rejectView{}
		for _, r := range all {
			used, row := r.Used(), r.Row
			t.add(text(row.RequestID), number(int64(row.Attempt)), text(string(row.Owner.KeyID)), text(timestamp(row.OccurredAt)),
				text(row.Provider+"/"+row.Model), number(used.Tokens), money(used.Money), text(r.Reason))
			views = append(views, rejectView{
				row.RequestID, row.Attempt, row.Owner.KeyID, timestamp(row.OccurredAt), timestamp(r.At),
				row.Provider, row.Model, used.Tokens, used.Money.String(), r.Reason,
			})
		}
		t.records = views
		return t.write(a.stdout, c.Output)
	})
}

type rejectsBook struct {
	Requests []string `arg:"" optional:"" name:"request" help:"Ids of the requests; without any, all that wait."`
}

// Run books the rows. One request that is still refused keeps no other from it.
func (c rejectsBook) Run(a *app) error {
	return a.withStore(func(s billing.Store, _ *Config) error {
		requests := c.Requests
		if len(requests) == 0 {
			waiting, err := s.ListRejects(a.ctx)
			if err != nil {
				return err
			}
			for _, r := range waiting {
				if !slices.Contains(requests, r.Row.RequestID) {
					requests = append(requests, r.Row.RequestID)
				}
			}
		}
		var faults []error
		for _, request := range requests {
			n, err := s.BookRejects(a.ctx, request, whoami())
			if err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", request, err))
				continue
			}
			fmt.Fprintf(a.stdout, "%s: %d rows booked\n", request, n)
		}
		return errors.Join(faults...)
	})
}
