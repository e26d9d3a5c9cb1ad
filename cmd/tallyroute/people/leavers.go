package people

import (
	"fmt"
	"time"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/router/admin"
)

// Leavers is "tallyroute leavers": keys of people who have left.
type Leavers struct {
	List     leaversList     `cmd:"" help:"List the keys of people who have left, with the decisions, newest first."`
	Transfer leaversTransfer `cmd:"" help:"Give a key to somebody else."`
	Keep     leaversKeep     `cmd:"" help:"Keep a key as it is."`
	Disable  leaversDisable  `cmd:"" help:"Disable a key before it is due."`
}

type leaversList struct {
	cli.Format
	Outcome string `help:"${enum}." enum:"open,transferred,kept,disabled,returned,ended," default:"" placeholder:"OUTCOME"`
}

// Run lists the reviews.
func (c leaversList) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.LeaverView](a.Ctx, r, "/leavers", adminapi.Query("outcome", c.Outcome), 0)
		if err != nil {
			return err
		}
		t := cli.Table{Header: []string{"ID", "KEY", "NAME", "TEAM", "OWNER", "WHY", "DUE", "OUTCOME", "BY"}, Records: all}
		for _, v := range all {
			t.Add(cli.Text(v.ID), cli.Text(v.Key.ID), cli.Text(v.Key.Name), cli.Text(v.Team.Name), cli.Text(v.Principal.Name),
				cli.Text(v.Cause), cli.Text(cli.Value(v.DueAt)), cli.Text(v.Outcome), cli.Text(v.ClosedBy))
		}
		return t.Write(a.Stdout, c.Output)
	})
}

// leaver says which review is decided, and why.
type leaver struct {
	ID     string `arg:"" help:"Id of the review: review_…"`
	Reason string `help:"Why." placeholder:"TEXT"`
}

func (c leaver) decide(a *cli.Context, how string, body cli.Fields) error {
	body["reason"] = c.Reason
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		return r.Do(a.Ctx, adminapi.Post("/leavers"+adminapi.Path(c.ID, how), body), nil)
	})
}

type leaversTransfer struct {
	leaver
	To      string        `help:"Id, name or address of the new owner." required:"" placeholder:"WHO"`
	Rotate  bool          `help:"Give the key a new secret, shown once, because the person who left knows the old one."`
	Overlap time.Duration `help:"How long the old secret then stays valid; by default it ends at once." placeholder:"SPAN"`
}

// Run transfers the key.
func (c leaversTransfer) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{Keys: c.Rotate}, func(r adminapi.API) error {
		done, err := adminapi.Do[admin.Transferred](a.Ctx, r, adminapi.Post("/leavers"+adminapi.Path(c.ID, "transfer"), cli.Fields{
			"to": c.To, "rotate": c.Rotate, "overlap": c.Overlap.String(), "reason": c.Reason,
		}))
		if err != nil {
			return err
		}
		if done.Secret == nil {
			fmt.Fprintln(a.Stderr, "The secret is still known to who left: --rotate, or tallyroute keys rotate, gives the key a new one.")
			return nil
		}
		_, err = fmt.Fprintln(a.Stdout, *done.Secret)
		return err
	})
}

type leaversKeep struct{ leaver }

// Run keeps the key.
func (c leaversKeep) Run(a *cli.Context) error { return c.decide(a, "keep", cli.Fields{}) }

type leaversDisable struct{ leaver }

// Run disables the key.
func (c leaversDisable) Run(a *cli.Context) error { return c.decide(a, "disable", cli.Fields{}) }
