package main

import (
	"fmt"
	"time"

	"tallyroute/billing"
)

// spendCommand is "tallyroute spend": the rows of the ledger.
type spendCommand struct {
	Adjust  spendAdjust  `cmd:"" help:"Post a correction to a key: an adjustment, a credit, a refund or a fee."`
	Rejects spendRejects `cmd:"" help:"The rows that the ledger refused: look at them and book them."`
	Archive spendArchive `cmd:"" help:"Write the rows of a closed month to a file and drop them from the database. Every total stays."`
}

type spendAdjust struct {
	Key    string    `arg:"" help:"Id of the key."`
	Amount signedUSD `required:"" help:"Dollars: of a credit or refund what is given back, of a fee what is charged; of an adjustment what is charged, or given back where it is negative." placeholder:"USD"`
	Kind   string    `help:"What it is: ${enum}." enum:"adjustment,credit,refund,fee" default:"adjustment"`
	Month  string    `help:"The month that it is for, where that is another than this." placeholder:"YYYY-MM"`
	Reason string    `required:"" help:"Why. It is on the row." placeholder:"TEXT"`
}

// Run posts the correction.
func (c spendAdjust) Run(a *app) error {
	correction := billing.Correction{Kind: billing.Kind(c.Kind), Amount: billing.Money(c.Amount), Reason: c.Reason, Actor: whoami(), Occurred: time.Now()}
	if c.Month != "" {
		m, err := billing.ParseMonth(c.Month)
		if err != nil {
			return usagef("--month: want YYYY-MM")
		}
		correction.Period = m
	}
	return a.withStore(func(s billing.Store, _ *Config) error {
		keys, err := s.ListKeys(a.ctx, billing.KeyFilter{ID: billing.KeyID(c.Key), Now: correction.Occurred})
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			return &billing.NotFoundError{What: "key", ID: c.Key}
		}
		correction.Owner = keys[0].Owner()
		row, err := correction.Spend()
		if err != nil {
			return usageError{err}
		}
		if err := s.Correct(a.ctx, []billing.Spend{row}); err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "%s: %s of $%s posted to %s\n", row.RequestID, c.Kind, row.Cost.Total.Short(), c.Key)
		return err
	})
}
