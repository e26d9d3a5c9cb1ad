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

type teamsCeiling struct {
	cli.Rehearsal
	cli.PlainFormat
	Team     string        `arg:"" help:"Name or id of the team."`
	Keys     int64         `help:"The most keys in force that a member may have." placeholder:"N"`
	USD      *config.USD   `help:"Dollars per period that all keys of one member may use together." placeholder:"AMOUNT"`
	Tokens   *int64        `help:"The same, in tokens." placeholder:"N"`
	Requests *int64        `help:"The same, in requests." placeholder:"N"`
	Period   string        `help:"The period of these amounts: ${enum}." enum:"minute,day,week,month,quarter,year,once" default:"month"`
	Zone     string        `help:"Time zone of its days. Default: UTC." placeholder:"ZONE"`
	For      time.Duration `help:"The longest life of a key." placeholder:"SPAN"`
	Models   []string      `help:"Models that keys may use. Default: all." placeholder:"NAME"`
	Remove   bool          `help:"Stop members from creating keys."`
	Reason   string        `help:"Why." placeholder:"TEXT"`
}

// Run shows, sets or removes the ceiling.
func (c teamsCeiling) Run(a *cli.Context) error {
	at := "/teams" + adminapi.Path(c.Team, "ceiling")
	call := adminapi.Get(at, nil)
	switch {
	case c.Remove && c.Keys != 0:
		return cli.Usagef("--remove and --keys: it is one or the other")
	case c.Remove:
		return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
			return r.Do(a.Ctx, adminapi.Delete(at, adminapi.Query("reason", c.Reason)), nil)
		})
	case c.Keys != 0:
		body := cli.Fields{"keys": c.Keys, "period": c.Period, "zone": c.Zone, "models": c.Models, "reason": c.Reason}
		finance.Limit(body, c.USD, c.Tokens, c.Requests)
		if c.For != 0 {
			body["expires_in"] = c.For.String()
		}
		call = adminapi.Put(at, body)
	case c.USD != nil || c.Tokens != nil || c.Requests != nil || c.Models != nil || c.For != 0:
		return cli.Usagef("--keys is needed to set a ceiling")
	}
	return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.CeilingView](a.Ctx, r, call)
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return cli.PrintJSON(a.Stdout, v)
		}
		_, err = fmt.Fprintf(a.Stdout, "%d keys of each member, together at most %s per %s, each for %s at the longest; "+
			"models: %s\n", v.Keys,
			amountsText(v.USD, v.Tokens, v.Requests), v.Period, cli.OrElse(cli.Value(v.ExpiresIn), "ever"), orAll(v.Models))
		return err
	})
}
