package main

import (
	"errors"
	"fmt"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
)

// integrityCommand is "tallyroute integrity".
type integrityCommand struct {
	plainFormat
	Quick bool `help:"Do not read closed months again to compare digests."`
}

var errBreached = errors.New("the ledger breaks its laws")

// Run prints one line for each law. It fails where one does not hold.
func (c integrityCommand) Run(a *cli) error {
	return a.ask(needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.IntegrityView](a.ctx, r, adminapi.Post("/integrity", fields{"quick": c.Quick}))
		if err != nil {
			return err
		}
		if err := integrityTable(v).write(a.stdout, c.Output); err != nil {
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

func integrityTable(v manage.IntegrityView) *table {
	t := &table{header: []string{"LAW", "RESULT", "BREACHES", "FIRST", "EXPECTED", "FOUND"}, records: v.Laws}
	for _, l := range v.Laws {
		if l.First == nil {
			t.add(text(l.Law), text("ok"), number(0), text("-"), text("-"), text("-"))
		} else {
			t.add(text(l.Law), text("BROKEN"), number(l.Breaches), text(l.First.Where), text(l.First.Expected), text(l.First.Found))
		}
	}
	return t
}
