package people

import (
	"fmt"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
)

type teamsUpdate struct {
	cli.Rehearsal
	Team       string  `arg:"" help:"Id or name of the team."`
	Name       *string `help:"Its new name." placeholder:"NAME"`
	CostCenter *string `help:"Cost center from now on; rows that are already booked keep theirs." placeholder:"NAME"`
	Owner      *string `help:"Address of the person responsible." placeholder:"ADDRESS"`
	Reason     string  `help:"Why, for the record." placeholder:"TEXT"`
}

// Run changes the team.
func (c teamsUpdate) Run(a *cli.Context) error {
	change := cli.Fields{"reason": c.Reason}
	for name, to := range map[string]*string{"name": c.Name, "cost_center": c.CostCenter, "owner_email": c.Owner} {
		if to != nil {
			change[name] = *to
		}
	}
	if len(change) == 1 {
		return cli.Usagef("say what is to be different: --name, --cost-center or --owner")
	}
	return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
		t, err := adminapi.Do[manage.TeamView](a.Ctx, r, adminapi.Patch("/teams"+adminapi.Path(c.Team), change))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "team %s (%s), cost center %s, owner %s\n", t.Name, t.ID, t.CostCenter,
			cli.OrElse(cli.Value(t.OwnerEmail), "nobody"))
		return err
	})
}

type teamsArchive struct {
	cli.Rehearsal
	Team   string `arg:"" help:"Id or name of the team."`
	Reason string `help:"Why, for the record." placeholder:"TEXT"`
}

// Run archives the team.
func (c teamsArchive) Run(a *cli.Context) error {
	return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
		t, err := adminapi.Do[manage.TeamView](a.Ctx, r, adminapi.Post("/teams"+adminapi.Path(c.Team, "archive"),
			cli.Fields{"reason": c.Reason}))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "team %s (%s) is archived since %s; its keys open nothing any more\n", t.Name, t.ID,
			cli.Value(t.ArchivedAt))
		return err
	})
}

type projectsUpdate struct {
	cli.Rehearsal
	Project   string  `arg:"" help:"Id of the project, or team/name."`
	Name      *string `help:"Its new name." placeholder:"NAME"`
	Team      *string `help:"Id or name of the team that it moves to, with its keys; booked rows stay with the old one." placeholder:"NAME"`
	DataClass *string `help:"The class of the data in its requests, such as confidential; empty means unknown." placeholder:"NAME"`
	Reason    string  `help:"Why, for the record." placeholder:"TEXT"`
}

// Run changes the project.
func (c projectsUpdate) Run(a *cli.Context) error {
	if c.Name == nil && c.Team == nil && c.DataClass == nil {
		return cli.Usagef("say what is to be different: --name, --team or --data-class")
	}
	change := cli.Fields{"name": c.Name, "team": c.Team, "data_class": c.DataClass, "reason": c.Reason}
	return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
		p, err := adminapi.Do[manage.ProjectView](a.Ctx, r, adminapi.Patch("/projects"+adminapi.Path(c.Project), change))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "project %s (%s) of team %s, environment %s, cost center %s\n", p.Name, p.ID, p.Team.Name,
			p.Environment, p.CostCenter)
		return err
	})
}

type projectsArchive struct {
	cli.Rehearsal
	Project string `arg:"" help:"Id of the project, or team/name."`
	Reason  string `help:"Why, for the record." placeholder:"TEXT"`
}

// Run archives the project.
func (c projectsArchive) Run(a *cli.Context) error {
	return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
		p, err := adminapi.Do[manage.ProjectView](a.Ctx, r,
			adminapi.Post("/projects"+adminapi.Path(c.Project, "archive"), cli.Fields{"reason": c.Reason}))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "project %s (%s) is archived since %s; its keys open nothing any more\n", p.Name, p.ID,
			cli.Value(p.ArchivedAt))
		return err
	})
}
