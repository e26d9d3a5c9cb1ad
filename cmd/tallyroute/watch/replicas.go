package watch

import (
	"fmt"
	"time"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/router/admin"
)

// Replicas is "tallyroute replicas".
type Replicas struct {
	List   replicasListCommand   `cmd:"" help:"List the routers that hold allowances, and what they hold."`
	Forget replicasForgetCommand `cmd:"" help:"Return the leases of a router that will not come back."`
}

// replicasListCommand is "tallyroute replicas list".
type replicasListCommand struct {
	cli.Format
}

// Run lists them.
func (c replicasListCommand) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		list, err := adminapi.All[manage.ReplicaView](a.Ctx, r, "/replicas", nil, 0)
		if err != nil {
			return err
		}
		t := cli.Table{
			Header:  []string{"ID", "NAME", "STATUS", "SEEN", "WINDOWS", "TOKENS", "USD", "TOKENS IN USE", "USD IN USE"},
			Records: list,
		}
		for _, v := range list {
			t.Add(cli.Text(v.ID), cli.Text(v.Name), cli.Text(v.Status), cli.Text(cli.Ago(v.SeenAt, time.Now())),
				cli.Number(int64(v.Leases)),
				cli.Number(v.LeasedTokens), cli.DollarsOf(v.LeasedUSD), cli.Number(v.BusyTokens), cli.DollarsOf(v.BusyUSD))
		}
		return t.Write(a.Stdout, c.Output)
	})
}

// replicasForgetCommand is "tallyroute replicas forget".
type replicasForgetCommand struct {
	cli.Rehearsal
	ID string `arg:"" help:"Id of the router, as in replicas list."`
}

// Run gives back the router's leases.
func (c replicasForgetCommand) Run(a *cli.Context) error {
	return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
		f, err := adminapi.Do[admin.Forgotten](a.Ctx, r, adminapi.Post("/replicas"+adminapi.Path(c.ID, "forget"), nil))
		if err != nil {
			return err
		}
		fmt.Fprintf(a.Stdout, "%s is forgotten; what it had leased of %d windows and was not using can be spent by others\n",
			f.ID, f.Windows)
		fmt.Fprintln(a.Stdout, "what it was using counts until a router starts on its journal, or it is forgotten once more")
		return nil
	})
}
