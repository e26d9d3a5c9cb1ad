package finance

import (
	"errors"
	"fmt"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
)

// Integrity is "tallyroute integrity".
type Integrity struct {
	cli.PlainFormat
	Quick bool `help:"Read each row only once, without checking digests of closed months or values of breakdowns."`
}

var errBreached = errors.New("the ledger breaks its laws")

// Run prints one line per law, and fails if any law is broken.
func (c Integrity) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.IntegrityView](a.Ctx, r, adminapi.Post("/integrity", cli.Fields{"quick": c.Quick}))
		if err != nil {
			return err
		}
		if err := integrityTable(v).Write(a.Stdout, c.Output); err != nil {
			return err
		}
		for _, l := range v.Laws {
			if l.First != nil {
				return fmt.Errorf("%w: %d times, first %s", errBreached, v.Breaches, l.Law+": "+billing.Breach(*l.First).String())
			}
		}
		return nil
	})
}

func integrityTable(v manage.IntegrityView) *cli.Table {
	t := &cli.Table{Header: []string{"LAW", "RESULT", "BREACHES", "FIRST", "EXPECTED", "FOUND"}, Records: v.Laws}
	for _, l := range v.Laws {
		if l.First == nil {
			t.Add(cli.Text(l.Law), cli.Text("ok"), cli.Number(0), cli.Text("-"), cli.Text("-"), cli.Text("-"))
		} else {
			t.Add(cli.Text(l.Law), cli.Text("BROKEN"), cli.Number(l.Breaches), cli.Text(l.First.Where), cli.Text(l.First.Expected),
				cli.Text(l.First.Found))
		}
	}
	return t
}
