package main

import (
	"errors"
	"fmt"
	"time"

	"tallyroute/billing"
)

// auditCommand is "tallyroute audit". What it does without another word is to
// prove the ledger.
type auditCommand struct {
	Ledger auditLedger `cmd:"" default:"withargs" help:"Prove that rows, adjustments, counters, rollup, holds, leases and closed months agree."`
}

type auditLedger struct {
	plainFormat
	Quick bool `help:"Do not read closed months again to compare digests."`
}

// auditView is a law as JSON shows it.
type auditView struct {
	Law      string      `json:"law"`
	Says     string      `json:"says"`
	OK       bool        `json:"ok"`
	Breaches int64       `json:"breaches"`
	First    *breachView `json:"first"`
}

type breachView struct {
	Where    string `json:"where"`
	Expected string `json:"expected"`
	Found    string `json:"found"`
}

var errBreached = errors.New("the ledger breaks its laws")

// Run prints one line for each law. It fails where one does not hold.
func (c auditLedger) Run(a *app) error {
	return a.withStore(func(s billing.Store, _ *Config) error {
		r, err := s.Audit(a.ctx, billing.AuditOptions{Now: time.Now(), Digests: !c.Quick})
		if err != nil {
			return err
		}
		if err := auditTable(r).write(a.stdout, c.Output); err != nil {
			return err
		}
		if r.Breaches > 0 {
			return fmt.Errorf("%w: %d times, first %s", errBreached, r.Breaches, r.First)
		}
		return nil
	})
}

func auditTable(r billing.AuditReport) *table {
	t := &table{header: []string{"LAW", "RESULT", "BREACHES", "FIRST", "EXPECTED", "FOUND"}}
	views := []auditView{}
	for _, l := range r.Laws {
		v := auditView{Law: l.Name, Says: l.Says, OK: l.Breaches == 0, Breaches: l.Breaches}
		cells := []cell{text(l.Name), text("ok"), number(l.Breaches), text("-"), text("-"), text("-")}
		if l.Breaches > 0 {
			v.First = &breachView{l.First.Where, l.First.Expected, l.First.Found}
			cells = []cell{text(l.Name), text("BROKEN"), number(l.Breaches), text(l.First.Where), text(l.First.Expected), text(l.First.Found)}
		}
		t.add(cells...)
		views = append(views, v)
	}
	t.records = views
	return t
}
