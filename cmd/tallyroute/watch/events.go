package watch

import (
	"strconv"
	"time"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
)

// Events is "tallyroute events": events that somebody may want to know about.
type Events struct {
	List eventsList `cmd:"" help:"List overruns, disputed usage, rejected rows, breaches and denials, newest first."`
}

type eventsList struct {
	cli.Format
	Kind   string        `enum:",${kinds}" default:"" help:"${kinds}." placeholder:"KIND"`
	Object string        `help:"The id of the key or the request that they are about."`
	Since  time.Duration `help:"How far back, such as 24h."`
	Limit  int           `default:"100" help:"How many; at most 1000."`
}

// Run lists the events.
func (c eventsList) Run(a *cli.Context) error {
	q := adminapi.Query("kind", c.Kind, "object", c.Object, "limit", strconv.Itoa(c.Limit))
	if c.Since > 0 {
		q.Set("since", cli.Timestamp(time.Now().Add(-c.Since)))
	}
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.EventView](a.Ctx, r, "/events", q, c.Limit)
		if err != nil {
			return err
		}
		t := cli.Table{Header: []string{"OCCURRED", "KIND", "SEVERITY", "OBJECT", "NAME", "TEXT"}, Records: all}
		for _, e := range all {
			t.Add(cli.Text(cli.Value(e.OccurredAt)), cli.Text(e.Kind), cli.Text(e.Severity), cli.Text(e.Object),
				cli.Text(e.ObjectName), cli.Text(e.Text))
		}
		return t.Write(a.Stdout, c.Output)
	})
}
