package watch

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/config"
)

// Incident is "tallyroute incident": keys that fell into the wrong hands.
type Incident struct {
	Open  incidentOpen  `cmd:"" help:"End or narrow the use of a key, and seal what it did."`
	List  incidentList  `cmd:"" help:"List incidents, newest first."`
	Show  incidentShow  `cmd:"" help:"Print the sealed bundle, byte for byte."`
	Close incidentClose `cmd:"" help:"Close an incident with its outcome."`
}

type incidentOpen struct {
	Key     string          `help:"The id of the key." required:"" placeholder:"KEY"`
	Action  string          `help:"revoke, disable or narrow." enum:"revoke,disable,narrow" default:"revoke" placeholder:"ACTION"`
	Network []config.Prefix `help:"Networks from which a narrowed key may still be used." placeholder:"CIDR"`
	Since   string          `help:"When its use became doubtful, such as 2026-11-01T00:00:00Z. Default: a week ago." placeholder:"INSTANT"`
	Reason  string          `help:"What happened." required:"" placeholder:"TEXT"`
}

// Run opens the incident.
func (c incidentOpen) Run(a *cli.Context) error {
	body := cli.Fields{"key_id": c.Key, "action": c.Action, "reason": c.Reason}
	if c.Since != "" {
		body["since"] = c.Since
	}
	if len(c.Network) > 0 {
		body["networks"] = c.Network
	}
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.IncidentView](a.Ctx, r, adminapi.Post("/incidents", body))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "%s: %s of %s is done, and its temporary keys have ended.\n%sWhat it did is "+
			"sealed with SHA-256 %s; see tallyroute incident show %s\n", v.ID, v.Action, v.KeyID, summary(v.Bundle), v.SHA256, v.ID)
		return err
	})
}

// summary summarises a bundle in a few lines.
func summary(bundle string) string {
	var e manage.Evidence
	if json.Unmarshal([]byte(bundle), &e) != nil {
		return ""
	}
	return fmt.Sprintf("Key %q, since %s: %d requests, of which %d were refused, from %d addresses; $%s. Providers: %s. "+
		"Class of data: %s. It is told to: %s.\n", e.Key.Name, cli.Value(e.Since), e.Totals.Requests, e.Totals.Refused, e.Totals.Addresses,
		e.Totals.CostUSD, cmp.Or(strings.Join(e.Providers, ", "), "none"), cmp.Or(e.DataClass, "nobody has said"),
		cmp.Or(e.Owner, "nobody, since it has no owner"))
}

type incidentList struct{ cli.Format }

// Run lists the incidents.
func (c incidentList) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.IncidentView](a.Ctx, r, "/incidents", nil, 0)
		if err != nil {
			return err
		}
		t := cli.Table{Header: []string{"OPENED", "ID", "STATUS", "KEY", "ACTION", "BY", "REASON", "OUTCOME"}, Records: all}
		for _, v := range all {
			t.Add(cli.Text(cli.Value(v.OpenedAt)), cli.Text(v.ID), cli.Text(v.Status), cli.Text(v.KeyID), cli.Text(v.Action),
				cli.Text(v.OpenedBy), cli.Text(v.Reason),
				cli.Text(cli.Value(v.Outcome)))
		}
		return t.Write(a.Stdout, c.Output)
	})
}

type incidentShow struct {
	ID string `arg:"" help:"Id of the incident." placeholder:"INCIDENT"`
}

// Run prints the bundle without a trailing newline, so that its digest is that of the
// output.
func (c incidentShow) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.IncidentView](a.Ctx, r, adminapi.Get("/incidents"+adminapi.Path(c.ID), nil))
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(a.Stdout, v.Bundle)
		return err
	})
}

type incidentClose struct {
	ID     string `arg:"" help:"Id of the incident." placeholder:"INCIDENT"`
	Reason string `help:"The outcome." required:"" placeholder:"TEXT"`
}

// Run closes the incident.
func (c incidentClose) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		call := adminapi.Post("/incidents"+adminapi.Path(c.ID, "close"), cli.Fields{"reason": c.Reason})
		v, err := adminapi.Do[manage.IncidentView](a.Ctx, r, call)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "%s is %s\n", v.ID, v.Status)
		return err
	})
}
