package people

import (
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
)

// Teams is "tallyroute teams".
type Teams struct {
	List    teamsList    `cmd:"" help:"List the teams."`
	Create  teamsCreate  `cmd:"" help:"Create a team with its first project."`
	Update  teamsUpdate  `cmd:"" help:"Rename a team, or change its cost center or owner."`
	Ceiling teamsCeiling `cmd:"" help:"What members may create for themselves: show, set, remove."`
	Archive teamsArchive `cmd:"" help:"End a team with all its projects and keys; their spend is kept."`
}

type teamsCreate struct {
	cli.PlainFormat
	Name       string `arg:"" help:"Name of the team."`
	CostCenter string `help:"Cost center that it is charged to." placeholder:"NAME"`
	Project    string `help:"Name of its first project." default:"default"`
	Env        string `help:"Environment of that project: ${enum}." enum:"prod,staging,dev" default:"prod"`
}

// Run creates the team, or finds an existing one.
func (c teamsCreate) Run(a *cli.Context) error {
	return ensureProject(a, c.Output, cli.Fields{"team": c.Name, "cost_center": c.CostCenter, "name": c.Project, "environment": c.Env})
}

type teamsList struct{ cli.Format }

// Run lists the teams.
func (c teamsList) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		teams, err := adminapi.All[manage.TeamView](a.Ctx, r, "/teams", nil, 0)
		if err != nil {
			return err
		}
		t := cli.Table{Header: []string{"ID", "NAME", "COST CENTER", "OWNER", "STATUS", "CREATED"}, Records: teams}
		for _, v := range teams {
			t.Add(cli.Text(v.ID), cli.Text(v.Name), cli.Text(v.CostCenter), cli.Text(cli.Value(v.OwnerEmail)),
				cli.Text(ownerStatus(v.ArchivedAt)),
				cli.Text(cli.DayOf(v.CreatedAt)))
		}
		return t.Write(a.Stdout, c.Output)
	})
}
