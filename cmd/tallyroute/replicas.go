package main

import (
	"fmt"
	"time"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/router/admin"
)

// replicasCommand is "tallyroute replicas".
type replicasCommand struct {
	List   replicasListCommand   `cmd:"" help:"List the routers that hold allowances, and what they hold."`
	Forget replicasForgetCommand `cmd:"" help:"Give back what a router that will not come back had leased."`
}

// replicasListCommand is "tallyroute replicas list".
type replicasListCommand struct {
	format
}

// Run lists them.
func (c replicasListCommand) Run(a *cli) error {
	return a.ask(needs{}, func(r adminapi.API) error {
		list, err := adminapi.All[manage.ReplicaView](a.ctx, r, "/replicas", nil, 0)
		if err != nil {
			return err
		}
		t := table{
			header:  []string{"ID", "NAME", "STATUS", "SEEN", "WINDOWS", "TOKENS", "USD", "TOKENS IN USE", "USD IN USE"},
			records: list,
		}
		for _, v := range list {
			t.add(text(v.ID), text(v.Name), text(v.Status), text(ago(v.SeenAt, time.Now())), number(int64(v.Leases)),
				number(v.LeasedTokens), dollarsOf(v.LeasedUSD), number(v.BusyTokens), dollarsOf(v.BusyUSD))
		}
		return t.write(a.stdout, c.Output)
	})
}

// replicasForgetCommand is "tallyroute replicas forget".
type replicasForgetCommand struct {
	ID string `arg:"" help:"Id of the router, as in replicas list."`
}

// Run gives back its leases.
func (c replicasForgetCommand) Run(a *cli) error {
	return a.ask(needs{}, func(r adminapi.API) error {
		f, err := adminapi.Do[admin.Forgotten](a.ctx, r, adminapi.Post("/replicas"+adminapi.Path(c.ID, "forget"), nil))
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "%s is forgotten; what it had leased of %d windows and was not using can be spent by others\n",
			f.ID, f.Windows)
		fmt.Fprintln(a.stdout, "what it was using counts until a router starts on its journal, or it is forgotten once more")
		return nil
	})
}
