package main

import (
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
)

// teamsCommand is "tallyroute teams".
type teamsCommand struct {
	List    teamsList    `cmd:"" help:"List the teams."`
	Create  teamsCreate  `cmd:"" help:"Create a team with its first project."`
	Update  teamsUpdate  `cmd:"" help:"Rename a team, or change its cost center or owner."`
	Archive teamsArchive `cmd:"" help:"End a team with all its projects and keys; what they spent stays."`
}

type teamsCreate struct {
	plainFormat
	Name       string `arg:"" help:"Name of the team."`
	CostCenter string `help:"To which it is charged." placeholder:"NAME"`
	Project    string `help:"Name of its first project." default:"default"`
	Env        string `help:"Environment of that project: ${enum}." enum:"prod,staging,dev" default:"prod"`
}

// Run creates the team, or finds it.
func (c teamsCreate) Run(a *cli) error {
	return ensureProject(a, c.Output, fields{"team": c.Name, "cost_center": c.CostCenter, "name": c.Project, "environment": c.Env})
}

type teamsList struct{ format }

// Run lists the teams.
func (c teamsList) Run(a *cli) error {
	return a.ask(needs{}, func(r adminapi.API) error {
		teams, err := adminapi.All[manage.TeamView](a.ctx, r, "/teams", nil, 0)
		if err != nil {
			return err
		}
		t := table{header: []string{"ID", "NAME", "COST CENTER", "OWNER", "STATUS", "CREATED"}, records: teams}
		for _, v := range teams {
			t.add(text(v.ID), text(v.Name), text(v.CostCenter), text(value(v.OwnerEmail)), text(ownerStatus(v.ArchivedAt)),
				text(dayOf(v.CreatedAt)))
		}
		return t.write(a.stdout, c.Output)
	})
}
