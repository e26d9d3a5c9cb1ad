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

// auditCommand is "tallyroute audit": the log of who did what. Without another word it
// does what it did before the integrity check had a name of its own.
type auditCommand struct {
	List       auditList       `cmd:"" help:"Who did what, the newest first."`
	Verify     auditVerify     `cmd:"" help:"Follow the chain: name the first record that is altered or missing."`
	Export     auditExport     `cmd:"" help:"Write every record to a file as JSON lines, which audit verify --file reads."`
	Checkpoint auditCheckpoint `cmd:"" help:"Sign the log as it is now, to be kept elsewhere."`
	SigningKey auditSigningKey `cmd:"" help:"Make a key that signs checkpoints."`
	Prune      auditPrune      `cmd:"" help:"Remove records that are older than they have to be kept."`
	Ledger     auditLedger     `cmd:"" hidden:"" default:"withargs" help:"The former name of tallyroute integrity."`
}

type auditLedger struct{ integrityCommand }

// Run checks the ledger as integrityCommand does.
func (c auditLedger) Run(a *cli) error {
	fmt.Fprintln(a.stderr, `tallyroute: the check of the ledger is called "tallyroute integrity" now; running it.`)
	return c.integrityCommand.Run(a)
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
