package main

import (
	"fmt"
	"time"

	"tallyroute/billing"
)

// replicasCommand is "tallyroute replicas".
type replicasCommand struct {
	List   replicasListCommand   `cmd:"" help:"List the routers that hold allowances, and what they hold."`
	Forget replicasForgetCommand `cmd:"" help:"Give back what a router that will not come back had leased."`
}

// replicaView is a replica as it is printed.
type replicaView struct {
	ID           string        `json:"id"`
	Name         string        `json:"name"`
	Status       string        `json:"status"` // live, or lost: its leases have expired
	StartedAt    time.Time     `json:"started_at"`
	SeenAt       time.Time     `json:"seen_at"`
	ExpiresAt    time.Time     `json:"expires_at"`
	Leases       int           `json:"leases"`
	LeasedTokens int64         `json:"leased_tokens"`
	LeasedUSD    billing.Money `json:"leased_usd"`
	BusyTokens   int64         `json:"busy_tokens"`
	BusyUSD      billing.Money `json:"busy_usd"`
}

func viewReplica(r billing.ReplicaState) replicaView {
	status := "lost"
	if r.Live {
		status = "live"
	}
	return replicaView{
		ID: r.ID, Name: r.Name, Status: status, StartedAt: r.StartedAt, SeenAt: r.SeenAt, ExpiresAt: r.ExpiresAt,
		Leases: r.Leases, LeasedTokens: r.Leased.Tokens, LeasedUSD: r.Leased.Money, BusyTokens: r.Busy.Tokens, BusyUSD: r.Busy.Money,
	}
}

// replicasListCommand is "tallyroute replicas list".
type replicasListCommand struct {
	format
}

// Run lists them.
func (c replicasListCommand) Run(a *app) error {
	return a.withStore(func(s billing.Store, _ *Config) error {
		list, err := s.ListReplicas(a.ctx)
		if err != nil {
			return err
		}
		views := make([]replicaView, len(list))
		t := table{header: []string{"ID", "NAME", "STATUS", "SEEN", "WINDOWS", "TOKENS", "USD", "TOKENS IN USE", "USD IN USE"}, records: views}
		for i, r := range list {
			v := viewReplica(r)
			views[i] = v
			t.add(text(v.ID), text(v.Name), text(v.Status), text(ago(v.SeenAt, time.Now())), number(int64(v.Leases)),
				number(v.LeasedTokens), dollars(v.LeasedUSD), number(v.BusyTokens), dollars(v.BusyUSD))
		}
		return t.write(a.stdout, c.Output)
	})
}

// replicasForgetCommand is "tallyroute replicas forget".
type replicasForgetCommand struct {
	ID string `arg:"" help:"Id of the router, as in replicas list."`
}

// Run gives back its leases.
func (c replicasForgetCommand) Run(a *app) error {
	return a.withStore(func(s billing.Store, _ *Config) error {
		n, err := s.ForgetReplica(a.ctx, c.ID)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "%s is forgotten; what it had leased of %d windows can be spent by others\n", c.ID, n)
		fmt.Fprintln(a.stdout, "if its journal turns up, start a router on it: the spend in it is still stored, once")
		return nil
	})
}
