package main

import (
	"strconv"
	"time"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
)

// eventsCommand is "tallyroute events": what somebody may want to be told of.
type eventsCommand struct {
	List eventsList `cmd:"" help:"List overruns, disputed usage, rejected rows, breaches and denials, the newest first."`
}

type eventsList struct {
	format
	Kind   string        `enum:",${kinds}" default:"" help:"${kinds}." placeholder:"KIND"`
	Object string        `help:"The id of the key or the request that they are about."`
	Since  time.Duration `help:"How far back, such as 24h."`
	Limit  int           `default:"100" help:"How many; at most 1000."`
}

// Run lists the events.
func (c eventsList) Run(a *cli) error {
	q := adminapi.Query("kind", c.Kind, "object", c.Object, "limit", strconv.Itoa(c.Limit))
	if c.Since > 0 {
		q.Set("since", timestamp(time.Now().Add(-c.Since)))
	}
	return a.ask(needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.EventView](a.ctx, r, "/events", q, 0)
		if err != nil {
			return err
		}
		t := table{header: []string{"OCCURRED", "KIND", "SEVERITY", "OBJECT", "TEXT"}, records: all}
		for _, e := range all {
			t.add(text(value(e.OccurredAt)), text(e.Kind), text(e.Severity), text(e.Object), text(e.Text))
		}
		return t.write(a.stdout, c.Output)
	})
}
