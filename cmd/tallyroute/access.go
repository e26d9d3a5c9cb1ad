package main

import (
	"fmt"
	"strings"
	"time"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/router/admin"
)

// accessCommand is "tallyroute access": who used which key.
type accessCommand struct {
	List  accessList  `cmd:"" help:"List who used which key, from where and when, the newest first."`
	Erase accessErase `cmd:"" help:"Remove entries for good, such as those of one address."`
}

// accessFlags say of which requests.
type accessFlags struct {
	Key      string `help:"Of this key." placeholder:"ID"`
	Address  string `help:"From this address." placeholder:"ADDRESS"`
	Agent    string `help:"Of clients that call themselves so." placeholder:"TEXT"`
	Decision string `help:"allowed, refused, or the code of an error." placeholder:"WORD"`
	Until    string `help:"Before this day or instant." placeholder:"DAY"`
}

type accessList struct {
	format
	accessFlags
	Since config.Duration `help:"How far back, such as 24h." placeholder:"DURATION"`
	Limit int             `default:"100" help:"How many."`
}

// Run lists the entries.
func (c accessList) Run(a *cli) error {
	q := adminapi.Query("key_id", c.Key, "address", c.Address, "user_agent", c.Agent, "decision", c.Decision, "until", c.Until)
	if c.Since > 0 {
		q.Set("since", timestamp(time.Now().Add(-time.Duration(c.Since))))
	}
	return a.ask(needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.AccessEntry](a.ctx, r, "/access", q, c.Limit)
		if err != nil {
			return err
		}
		t := table{header: []string{"AT", "KEY", "VERSION", "ADDRESS", "ENDPOINT", "DECISION", "STATUS", "USER AGENT"}, records: all}
		for _, e := range all {
			t.add(text(value(e.At)), text(orElse(value(e.KeyID), "-")), number(int64(e.Version)), text(orElse(value(e.Address), "-")),
				text(e.Endpoint), text(e.Decision), number(int64(e.Status)), text(e.Agent))
		}
		return t.write(a.stdout, c.Output)
	})
}

type accessErase struct {
	accessFlags
	Reason string `help:"Why, for the record." placeholder:"TEXT"`
}

// Run erases the entries.
func (c accessErase) Run(a *cli) error {
	return a.ask(needs{}, func(r adminapi.API) error {
		done, err := adminapi.Do[admin.Erased](a.ctx, r, adminapi.Post("/access/erase", fields{
			"key_id": c.Key, "address": c.Address, "user_agent": c.Agent, "decision": c.Decision, "until": c.Until, "reason": c.Reason,
		}))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "%d entries are removed.\n", done.Erased)
		return err
	})
}

type keysShared struct {
	format
	ID    string          `arg:"" optional:"" help:"Only this key: key_…"`
	Since config.Duration `help:"How far back." default:"7d" placeholder:"DURATION"`
}

// Run lists keys that are shared, with the commands that would split them.
func (c keysShared) Run(a *cli) error {
	q := adminapi.Query("key_id", c.ID, "since", timestamp(time.Now().Add(-time.Duration(c.Since))))
	return a.ask(needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.SharedKey](a.ctx, r, "/shared-keys", q, 0)
		if err != nil {
			return err
		}
		t := table{header: []string{"KEY", "NAME", "PROGRAM", "NETWORK", "ADDRESSES", "REQUESTS", "LAST", "PROPOSAL"}, records: all}
		for _, k := range all {
			for _, w := range k.Workloads {
				t.add(text(k.KeyID), text(k.Name), text(orElse(w.Program, "-")), text(orElse(value(w.Network), "-")),
					number(int64(w.Addresses)),
					number(w.Requests), text(value(w.LastAt)), text(splitOff(k, w)))
			}
		}
		return t.write(a.stdout, c.Output)
	})
}

// splitOff is the command that makes a key for a workload.
func splitOff(k manage.SharedKey, w manage.WorkloadView) string {
	if w.Proposal == nil {
		return "keeps the key"
	}
	command := fmt.Sprintf("tallyroute keys create --name %q --team %q --project %q", *w.Proposal, k.Team, k.Project)
	if w.Network != nil {
		command += " --cidr " + *w.Network
	}
	return command
}

type keysRights struct {
	format
	ID    string `arg:"" optional:"" help:"Only this key: key_…"`
	Team  string `help:"Only of this team." placeholder:"NAME"`
	Limit int    `help:"How many keys; 0 is all." default:"100"`
}

// Run compares rights with use.
func (c keysRights) Run(a *cli) error {
	q := adminapi.Query("key_id", c.ID, "team", c.Team)
	return a.ask(needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.KeyRights](a.ctx, r, "/key-rights", q, c.Limit)
		if err != nil {
			return err
		}
		t := table{header: []string{"KEY", "NAME", "RIGHT", "GRANTED", "USED", "ENOUGH WOULD BE"}, records: all}
		for _, k := range all {
			for _, v := range k.Rights {
				t.add(text(k.KeyID), text(k.Name), text(v.Right), text(orElse(strings.Join(v.Granted, ","), "all")),
					text(orElse(strings.Join(v.Used, ","), "-")), text(orElse(strings.Join(v.Proposal, ","), "-")))
			}
		}
		return t.write(a.stdout, c.Output)
	})
}
