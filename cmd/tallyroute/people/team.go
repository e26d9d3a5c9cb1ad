package people

import (
	"fmt"
	"strings"
	"time"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/finance"
	"tallyroute/router/admin"
)

// Team is "tallyroute team": what team members do for themselves.
type Team struct {
	Show   teamShow   `cmd:"" help:"Your teams, and what their ceilings leave for you."`
	Keys   teamKeys   `cmd:"" help:"List your own keys."`
	Create teamCreate `cmd:"" help:"Create a key of your own. It is shown once."`
	Narrow teamNarrow `cmd:"" help:"Restrict one of your own keys."`
	Rotate teamRotate `cmd:"" help:"Give a key of your own a new secret."`
	Revoke teamRevoke `cmd:"" help:"Revoke a key of your own for good."`
	Ask    teamAsk    `cmd:"" help:"Ask for higher limits of one of your own keys for a time."`
	Asked  teamAsked  `cmd:"" help:"List raises that you have asked for."`
}

type teamShow struct{ cli.Format }

// Run lists the teams.
func (c teamShow) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		list, err := adminapi.Do[admin.OwnTeams](a.Ctx, r, adminapi.Get("/team", nil))
		if err != nil {
			return err
		}
		t := cli.Table{Header: []string{"TEAM", "PROJECTS", "KEYS", "OF", "LEFT", "MODELS", "LIFE"}, Records: list.Data}
		for _, one := range list.Data {
			var projects []string
			for _, p := range one.Projects {
				projects = append(projects, p.Name)
			}
			of, left, models, life := "none", "", "", ""
			if c := one.Ceiling; c != nil {
				of, models, life = fmt.Sprint(c.Keys), orAll(c.Models), cli.Value(c.ExpiresIn)
				left = amountsText(one.Left.USD, one.Left.Tokens, one.Left.Requests) + " per " + c.Period
			}
			t.Add(cli.Text(one.Team.Name), cli.Text(strings.Join(projects, ", ")), cli.Text(fmt.Sprint(one.Keys)), cli.Text(of),
				cli.Text(left), cli.Text(models), cli.Text(life))
		}
		return t.Write(a.Stdout, c.Output)
	})
}

func orAll(models []string) string {
	if len(models) == 0 {
		return "all"
	}
	return strings.Join(models, ", ")
}

func amountsText(usd *string, tokens, requests *int64) string {
	var list []string
	if usd != nil && *usd != "0" {
		list = append(list, "$"+*usd)
	}
	if tokens != nil && *tokens != 0 {
		list = append(list, fmt.Sprintf("%d tokens", *tokens))
	}
	if requests != nil && *requests != 0 {
		list = append(list, fmt.Sprintf("%d requests", *requests))
	}
	switch {
	case len(list) > 0:
		return strings.Join(list, ", ")
	case usd != nil || tokens != nil || requests != nil:
		return "nothing"
	}
	return "any amount"
}

type teamKeys struct{ cli.Format }

// Run lists the keys.
func (c teamKeys) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.KeyView](a.Ctx, r, "/team/keys", nil, 0)
		if err != nil {
			return err
		}
		t := cli.Table{Header: []string{"ID", "NAME", "STATUS", "TEAM", "PROJECT", "MODELS", "ENDS", "LAST USED"}, Records: all}
		for _, k := range all {
			t.Add(cli.Text(k.ID), cli.Text(k.Name), cli.Text(k.Status), cli.Text(k.Team.Name), cli.Text(k.Project.Name),
				cli.Text(orAll(k.Models)), cli.Text(cli.Value(k.ExpiresAt)), cli.Text(cli.Value(k.LastUsedAt)))
		}
		return t.Write(a.Stdout, c.Output)
	})
}

// ownLimits say how much a key may use, for what, and from where.
type ownLimits struct {
	USD      *config.USD   `help:"The most dollars per period of the ceiling." placeholder:"AMOUNT"`
	Tokens   *int64        `help:"The same, in tokens." placeholder:"N"`
	Requests *int64        `help:"The same, in requests." placeholder:"N"`
	Models   []string      `help:"The models that it may use." placeholder:"NAME"`
	From     []string      `help:"The networks that it may be used from." placeholder:"CIDR"`
	For      time.Duration `help:"How long, counted from now." placeholder:"SPAN"`
}

func (l ownLimits) into(body cli.Fields) {
	finance.Limit(body, l.USD, l.Tokens, l.Requests)
	if l.Models != nil {
		body["models"] = l.Models
	}
	if l.From != nil {
		body["allowed_cidrs"] = l.From
	}
	if l.For != 0 {
		body["expires_in"] = l.For.String()
	}
}

type teamCreate struct {
	ownLimits
	Name    string `arg:"" help:"Its name."`
	Team    string `help:"Name or id; required for members of several teams." placeholder:"TEAM"`
	Project string `help:"Name or id. Default: the default project." placeholder:"PROJECT"`
	Purpose string `help:"What it is for." placeholder:"TEXT"`
}

// Run creates a key.
func (c teamCreate) Run(a *cli.Context) error {
	body := cli.Fields{"name": c.Name, "team": c.Team, "project": c.Project, "purpose": c.Purpose}
	c.into(body)
	return a.Ask(cli.Needs{Keys: true}, func(r adminapi.API) error {
		k, err := adminapi.Do[admin.CreatedKey](a.Ctx, r, adminapi.Post("/team/keys", body))
		if err != nil {
			return err
		}
		fmt.Fprintln(a.Stdout, k.Secret)
		fmt.Fprintf(a.Stderr, "It is %s and not shown again.\n", k.ID)
		return nil
	})
}

type teamNarrow struct {
	ownLimits
	ID     string  `arg:"" help:"Id of the key."`
	Name   *string `help:"Another name." placeholder:"NAME"`
	Reason string  `help:"Why." placeholder:"TEXT"`
}

// Run narrows a key.
func (c teamNarrow) Run(a *cli.Context) error {
	body := cli.Fields{"reason": c.Reason}
	if c.into(body); c.Name != nil {
		body["name"] = *c.Name
	}
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		return r.Do(a.Ctx, adminapi.Patch("/team/keys"+adminapi.Path(c.ID), body), nil)
	})
}

type teamRotate struct {
	cli.Rehearsal
	ID      string        `arg:"" help:"Id of the key."`
	Overlap time.Duration `help:"How long the old secret stays valid." default:"24h" placeholder:"SPAN"`
}

// Run rotates a key.
func (c teamRotate) Run(a *cli.Context) error {
	return a.Change(c.Rehearsal, cli.Needs{Keys: true}, func(r adminapi.API) error {
		k, err := adminapi.Do[admin.RotatedKey](a.Ctx, r, adminapi.Post("/team/keys"+adminapi.Path(c.ID, "rotate"), cli.Fields{
			"overlap": c.Overlap.String(),
		}))
		if err == nil {
			fmt.Fprintln(a.Stdout, cli.Value(k.Secret))
		}
		return err
	})
}

type teamRevoke struct {
	cli.Rehearsal
	ID     string `arg:"" help:"Id of the key."`
	Reason string `help:"Why." placeholder:"TEXT"`
}

// Run revokes a key.
func (c teamRevoke) Run(a *cli.Context) error {
	return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
		return r.Do(a.Ctx, adminapi.Post("/team/keys"+adminapi.Path(c.ID, "revoke"), cli.Fields{"reason": c.Reason}), nil)
	})
}
