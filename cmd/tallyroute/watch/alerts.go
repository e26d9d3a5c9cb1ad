package watch

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
)

// Alerts is "tallyroute alerts": the alerts that were sent.
type Alerts struct {
	List   alertsList   `cmd:"" help:"List alerts and whether they arrived, newest first."`
	Test   alertsTest   `cmd:"" help:"Send a test to a channel of the configuration."`
	Replay alertsReplay `cmd:"" help:"Send an alert again."`
}

type alertsList struct {
	cli.Format
	Kind   string        `help:"Such as limit, forecast, provider or expiry."`
	Object string        `help:"The id or name of what they are about."`
	Status string        `enum:",pending,failing,delivered,dead" default:"" help:"Status of a notice: pending, failing, delivered or dead."`
	Since  time.Duration `help:"How far back, such as 24h."`
	Limit  int           `default:"100" help:"How many; at most 1000."`
}

// Run lists the alerts.
func (c alertsList) Run(a *cli.Context) error {
	q := adminapi.Query("kind", c.Kind, "object", c.Object, "status", c.Status, "limit", strconv.Itoa(c.Limit))
	if c.Since > 0 {
		q.Set("since", cli.Timestamp(time.Now().Add(-c.Since)))
	}
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.AlertView](a.Ctx, r, "/alerts", q, c.Limit)
		if err != nil {
			return err
		}
		t := cli.Table{Header: []string{"OCCURRED", "ID", "KIND", "SEVERITY", "OBJECT", "NOTICES", "TITLE"}, Records: all}
		for _, v := range all {
			t.Add(cli.Text(cli.Value(v.OccurredAt)), cli.Text(v.ID), cli.Text(v.Kind), cli.Text(v.Severity), cli.Text(v.Object),
				cli.Text(noticesText(v)),
				cli.Text(v.Title))
		}
		return t.Write(a.Stdout, c.Output)
	})
}

func noticesText(v manage.AlertView) string {
	list := make([]string, len(v.Notices))
	for i, n := range v.Notices {
		list[i] = n.Channel + " " + n.Status
	}
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

type alertsTest struct {
	Channel string `arg:"" help:"The name of the channel." placeholder:"CHANNEL"`
}

// Run sends a test alert.
func (c alertsTest) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.AlertView](a.Ctx, r, adminapi.Post("/alerts/test", cli.Fields{"channel": c.Channel}))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "%s was sent to %s\n", v.ID, c.Channel)
		return err
	})
}

type alertsReplay struct {
	ID      string `arg:"" help:"Id of the alert." placeholder:"ALERT"`
	Channel string `help:"The channel. Default: every channel that it went to." placeholder:"CHANNEL"`
	Reason  string `help:"Why." placeholder:"TEXT"`
}

// Run makes a router send an alert again.
func (c alertsReplay) Run(a *cli.Context) error {
	body := cli.Fields{"channel": c.Channel, "reason": c.Reason}
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.AlertView](a.Ctx, r, adminapi.Post("/alerts"+adminapi.Path(c.ID, "replay"), body))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "%s is sent again: %s\n", v.ID, noticesText(v))
		return err
	})
}
