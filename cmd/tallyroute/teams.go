package main

import (
	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/config"
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
	return a.ensureProject(c.Output, billing.Project{Team: c.Name, CostCenter: c.CostCenter, Name: c.Project, Environment: c.Env})
}

type teamsList struct{ format }

// Run lists the teams.
func (c teamsList) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		teams, err := m.Teams(a.ctx)
		if err != nil {
			return err
		}
		t := table{header: []string{"ID", "NAME", "COST CENTER", "OWNER", "STATUS", "CREATED"}}
		views := []manage.TeamView{}
		for _, team := range teams {
			t.add(text(team.ID), text(team.Name), text(team.CostCenter), text(team.OwnerEmail), text(ownerStatus(team.ArchivedAt)),
				text(day(team.CreatedAt)))
			views = append(views, manage.ViewTeam(team))
		}
		t.records = views
		return t.write(a.stdout, c.Output)
	})
}
