package people

import (
	"fmt"
	"time"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/finance"
)

type teamAsk struct {
	ID       string        `arg:"" help:"Id of the key."`
	USD      *config.USD   `help:"The number of dollars to add." placeholder:"AMOUNT"`
	Tokens   *int64        `help:"The number of tokens to add." placeholder:"N"`
	Requests *int64        `help:"The number of requests to add." placeholder:"N"`
	For      time.Duration `help:"How long." required:"" placeholder:"SPAN"`
	Reason   string        `help:"Why." required:"" placeholder:"TEXT"`
}

// Run requests a raise.
func (c teamAsk) Run(a *cli.Context) error {
	body := cli.Fields{"until": time.Now().Add(c.For).UTC().Format(time.RFC3339), "reason": c.Reason}
	finance.Limit(body, c.USD, c.Tokens, c.Requests)
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		asked, err := adminapi.Do[manage.RaiseView](a.Ctx, r, adminapi.Post("/team/keys"+adminapi.Path(c.ID, "raises"), body))
		if err == nil {
			fmt.Fprintln(a.Stdout, asked.ID)
		}
		return err
	})
}

type teamAsked struct{ cli.Format }

// Run lists the member's own requests.
func (c teamAsked) Run(a *cli.Context) error { return listRaises(a, "/team/raises", "", c.Output) }

// Raises is "tallyroute raises": requests by members.
type Raises struct {
	List    raisesList    `cmd:"" help:"List raises that members ask for, newest first."`
	Approve raisesApprove `cmd:"" help:"Grant a raise that a member asks for."`
	Decline raisesDecline `cmd:"" help:"Decline a raise that a member asks for."`
}

type raisesList struct {
	cli.Format
	Outcome string `help:"${enum}." enum:"pending,approved,declined," default:"" placeholder:"OUTCOME"`
}

// Run lists the requests.
func (c raisesList) Run(a *cli.Context) error { return listRaises(a, "/raises", c.Outcome, c.Output) }

func listRaises(a *cli.Context, path, outcome, output string) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.RaiseView](a.Ctx, r, path, adminapi.Query("outcome", outcome), 0)
		if err != nil {
			return err
		}
		t := cli.Table{Header: []string{"ID", "KEY", "BY", "UNTIL", "REASON", "OUTCOME", "DECIDED BY", "ANSWER"}, Records: all}
		for _, one := range all {
			t.Add(cli.Text(one.ID), cli.Text(one.KeyID), cli.Text(amountsText(&one.USD, &one.Tokens, &one.Requests)),
				cli.Text(cli.Value(one.Until)), cli.Text(one.Reason), cli.Text(one.Outcome), cli.Text(one.DecidedBy), cli.Text(one.Answer))
		}
		return t.Write(a.Stdout, output)
	})
}

// decision says which request is decided, and why.
type decision struct {
	ID     string `arg:"" help:"Id of the request: ask_…"`
	Reason string `help:"Why." placeholder:"TEXT"`
}

func (c decision) decide(a *cli.Context, how string) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		return r.Do(a.Ctx, adminapi.Post("/raises"+adminapi.Path(c.ID, how), cli.Fields{"reason": c.Reason}), nil)
	})
}

type raisesApprove struct{ decision }

// Run approves the request.
func (c raisesApprove) Run(a *cli.Context) error { return c.decide(a, "approve") }

type raisesDecline struct{ decision }

// Run declines the request.
func (c raisesDecline) Run(a *cli.Context) error { return c.decide(a, "decline") }
