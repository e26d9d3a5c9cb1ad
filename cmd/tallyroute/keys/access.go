package keys

import (
	"fmt"
	"strings"
	"time"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/router/admin"
)

// Access is "tallyroute access": who used which key.
type Access struct {
	List  accessList  `cmd:"" help:"List who used which key, from where and when, newest first."`
	Erase accessErase `cmd:"" help:"Remove entries permanently, such as those of one address."`
}

// accessFlags select requests.
type accessFlags struct {
	Key      string `help:"Only this key." placeholder:"ID"`
	Address  string `help:"Only requests from this address." placeholder:"ADDRESS"`
	Agent    string `help:"The client's User-Agent; must match exactly." placeholder:"TEXT"`
	Decision string `help:"allowed, refused, or the code of an error." placeholder:"WORD"`
	Until    string `help:"Before this day or instant." placeholder:"DAY"`
}

type accessList struct {
	cli.Format
	accessFlags
	Since config.Duration `help:"How far back, such as 24h." placeholder:"DURATION"`
	Limit int             `default:"100" help:"How many."`
}

// Run lists the entries.
func (c accessList) Run(a *cli.Context) error {
	q := adminapi.Query("key_id", c.Key, "address", c.Address, "user_agent", c.Agent, "decision", c.Decision, "until", c.Until)
	if c.Since > 0 {
		q.Set("since", cli.Timestamp(time.Now().Add(-time.Duration(c.Since))))
	}
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.AccessEntry](a.Ctx, r, "/access", q, c.Limit)
		if err != nil {
			return err
		}
		t := cli.Table{Header: []string{"AT", "KEY", "VERSION", "ADDRESS", "ENDPOINT", "DECISION", "STATUS", "USER AGENT"}, Records: all}
		for _, e := range all {
			t.Add(cli.Text(cli.Value(e.At)), cli.Text(cli.OrElse(cli.Value(e.KeyID), "-")), cli.Number(int64(e.Version)),
				cli.Text(cli.OrElse(cli.Value(e.Address), "-")),
				cli.Text(e.Endpoint), cli.Text(e.Decision), cli.Number(int64(e.Status)), cli.Text(e.Agent))
		}
		return t.Write(a.Stdout, c.Output)
	})
}

type accessErase struct {
	cli.Rehearsal
	accessFlags
	Reason string `help:"Why, for the record." placeholder:"TEXT"`
}

// Run erases the entries.
func (c accessErase) Run(a *cli.Context) error {
	return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
		done, err := adminapi.Do[admin.Erased](a.Ctx, r, adminapi.Post("/access/erase", cli.Fields{
			"key_id": c.Key, "address": c.Address, "user_agent": c.Agent, "decision": c.Decision, "until": c.Until, "reason": c.Reason,
		}))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "%d entries are removed.\n", done.Erased)
		return err
	})
}

type keysShared struct {
	cli.Format
	ID    string          `arg:"" optional:"" help:"Only this key: key_…"`
	Since config.Duration `help:"How far back." default:"7d" placeholder:"DURATION"`
}

// Run lists keys that are shared, with the commands that would split them up.
func (c keysShared) Run(a *cli.Context) error {
	q := adminapi.Query("key_id", c.ID, "since", cli.Timestamp(time.Now().Add(-time.Duration(c.Since))))
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.SharedKey](a.Ctx, r, "/shared-keys", q, 0)
		if err != nil {
			return err
		}
		t := cli.Table{Header: []string{"KEY", "NAME", "PROGRAM", "NETWORK", "ADDRESSES", "REQUESTS", "LAST", "PROPOSAL"}, Records: all}
		for _, k := range all {
			for _, w := range k.Workloads {
				t.Add(cli.Text(k.KeyID), cli.Text(k.Name), cli.Text(cli.OrElse(w.Program, "-")),
					cli.Text(cli.OrElse(cli.Value(w.Network), "-")),
					cli.Number(int64(w.Addresses)),
					cli.Number(w.Requests), cli.Text(cli.Value(w.LastAt)), cli.Text(splitOff(k, w)))
			}
		}
		return t.Write(a.Stdout, c.Output)
	})
}

// splitOff returns the command that makes a separate key for a workload.
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
	cli.Format
	ID    string `arg:"" optional:"" help:"Only this key: key_…"`
	Team  string `help:"Only this team." placeholder:"NAME"`
	Limit int    `help:"How many keys; 0 means all." default:"100"`
}

// Run compares rights with use.
func (c keysRights) Run(a *cli.Context) error {
	q := adminapi.Query("key_id", c.ID, "team", c.Team)
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.KeyRights](a.Ctx, r, "/key-rights", q, c.Limit)
		if err != nil {
			return err
		}
		t := cli.Table{Header: []string{"KEY", "NAME", "RIGHT", "GRANTED", "USED", "ENOUGH WOULD BE"}, Records: all}
		for _, k := range all {
			for _, v := range k.Rights {
				t.Add(cli.Text(k.KeyID), cli.Text(k.Name), cli.Text(v.Right), cli.Text(cli.OrElse(strings.Join(v.Granted, ","), "all")),
					cli.Text(cli.OrElse(strings.Join(v.Used, ","), "-")), cli.Text(cli.OrElse(strings.Join(v.Proposal, ","), "-")))
			}
		}
		return t.Write(a.Stdout, c.Output)
	})
}
