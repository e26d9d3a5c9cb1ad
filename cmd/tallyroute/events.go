package main

import (
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/config"
)

// eventsCommand is "tallyroute events": what somebody may want to be told of.
type eventsCommand struct {
	List eventsList `cmd:"" help:"List overruns, disputed usage, rejected rows, breaches and denials, the newest first."`
}

type eventsList struct {
	format
	Kind   string        `enum:",overrun,disputed,rejected,breach,denied,policy,model" default:"" help:"overrun, disputed, rejected, breach, denied, policy or model."`
	Object string        `help:"The id of the key or the request that they are about."`
	Since  time.Duration `help:"How far back, such as 24h."`
	Limit  int           `default:"100" help:"How many; at most 1000."`
}

// Run lists the events.
func (c eventsList) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		f := billing.EventFilter{Kind: billing.EventKind(c.Kind), Object: c.Object, Limit: c.Limit}
		if c.Since > 0 {
			f.Since = time.Now().Add(-c.Since)
		}
		all, err := m.Events(a.ctx, f)
		if err != nil {
			return err
		}
		t := table{header: []string{"OCCURRED", "KIND", "SEVERITY", "OBJECT", "TEXT"}}
		views := []manage.EventView{}
		for _, e := range all {
			t.add(text(timestamp(e.At)), text(string(e.Kind)), text(string(e.Severity)), text(e.Object), text(e.Text))
			views = append(views, manage.ViewEvent(e))
		}
		t.records = views
		return t.write(a.stdout, c.Output)
	})
}
