// Package doctor looks for problems in the set-up of a router, and says how to solve them.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/config"
)

// Severity is how bad a finding is.
type Severity string

// The severities. Something critical prevents requests from being answered, or secrets from
// staying secret.
const (
	OK       Severity = "ok"
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Finding is the result of one check. It contains no secret.
type Finding struct {
	Check    string   `json:"check"`
	Severity Severity `json:"severity"`
	Found    string   `json:"found"`
	Do       string   `json:"do"` // "" if there is nothing to do
}

// Command is "tallyroute doctor".
type Command struct {
	cli.PlainFormat
}

// patience is how long one check may take.
const patience = 5 * time.Second

// check is one of the checks.
type check struct {
	name string
	run  func(context.Context, *patient) []Finding
}

// patient is the set-up being examined.
type patient struct {
	cfg       *config.Config
	catalogue app.Catalogue
	fault     error // why serve refuses the configuration
	unread    error // why it can't be read at all; then this is all that is reported
}

func checks() []check {
	return []check{
		{"configuration", configuration},
		{"files", files},
		{"listeners", listeners},
		{"tls", encryption},
		{"database", database},
		{"secrets", secretsOf},
		{"disk", disk},
		{"prices", prices},
		{"keys", keysOf},
	}
}

// Run runs all the checks. It returns an error if anything is critical.
func (c Command) Run(a *cli.Context) error {
	p := &patient{}
	if p.cfg, p.catalogue, p.fault = a.Service(); p.fault != nil {
		p.cfg, p.catalogue, p.unread = a.Settings() // whatever the fault leaves readable is examined all the same
	}
	t, critical := cli.Table{Header: []string{"CHECK", "SEVERITY", "FOUND", "WHAT TO DO"}}, 0
	var all []Finding
	for _, one := range checks() {
		if p.unread != nil && one.name != "configuration" {
			continue
		}
		for _, f := range within(a.Ctx, one, p) {
			f.Check = one.name
			if f.Severity == Critical {
				critical++
			}
			all = append(all, f)
			t.Add(cli.Text(f.Check), cli.Text(string(f.Severity)), cli.Text(f.Found), cli.Text(f.Do))
		}
	}
	t.Records = all
	if err := t.Write(a.Stdout, c.Output); err != nil {
		return err
	}
	if critical > 0 {
		return fmt.Errorf("%d of %d findings are critical", critical, len(all))
	}
	return nil
}

// within runs a check with a time limit.
func within(ctx context.Context, one check, p *patient) []Finding {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	done := make(chan []Finding, 1)
	go func() { done <- one.run(ctx, p) }()
	select {
	case found := <-done:
		return found
	case <-ctx.Done():
		return []Finding{{
			Severity: Warning, Found: "no answer within " + patience.String(),
			Do: "Try again; see whether disk and database answer.",
		}}
	}
}

func ok(format string, args ...any) Finding {
	return Finding{Severity: OK, Found: fmt.Sprintf(format, args...)}
}

// configuration reports what serve would refuse.
func configuration(_ context.Context, p *patient) (all []Finding) {
	var faults config.Faults
	switch {
	case p.fault == nil && p.cfg.File == "":
		return []Finding{ok("no file; defaults and environment")}
	case p.fault == nil:
		return []Finding{ok("%s", p.cfg.File)}
	case !errors.As(p.fault, &faults):
		return []Finding{{Severity: Critical, Found: p.fault.Error(), Do: "Mend it; tallyroute config check says whether it is."}}
	}
	for _, f := range faults {
		all = append(all, Finding{Severity: Critical, Found: f.String(), Do: "Mend it; tallyroute config check says whether it is."})
	}
	return all
}
