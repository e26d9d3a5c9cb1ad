package main

import (
	"fmt"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
)

// projectsCommand is "tallyroute projects".
type projectsCommand struct {
	List    projectsList    `cmd:"" help:"List the projects."`
	Create  projectsCreate  `cmd:"" help:"Create a project, and its team where there is none."`
	Update  projectsUpdate  `cmd:"" help:"Rename a project, or move it to another team."`
	Archive projectsArchive `cmd:"" help:"End a project with all its keys; what they spent stays."`
}

type projectsList struct{ format }

// Run lists the projects.
func (c projectsList) Run(a *cli) error {
	return a.ask(needs{}, func(r adminapi.API) error {
		projects, err := adminapi.All[manage.ProjectView](a.ctx, r, "/projects", nil, 0)
		if err != nil {
			return err
		}
		t := table{header: []string{"ID", "TEAM", "NAME", "ENVIRONMENT", "COST CENTER", "STATUS", "CREATED"}, records: projects}
		for _, v := range projects {
			t.add(text(v.ID), text(v.Team.Name), text(v.Name), text(v.Environment), text(v.CostCenter), text(ownerStatus(v.ArchivedAt)),
				text(dayOf(v.CreatedAt)))
		}
		return t.write(a.stdout, c.Output)
	})
}

type projectsCreate struct {
	plainFormat
	Name       string `arg:"" help:"Name of the project."`
	Team       string `help:"Name of its team." required:"" placeholder:"NAME"`
	Env        string `help:"Environment: ${enum}." enum:"prod,staging,dev" default:"prod"`
	CostCenter string `help:"To which a team that is new is charged." placeholder:"NAME"`
}

// Run creates the project, or finds it.
func (c projectsCreate) Run(a *cli) error {
	return ensureProject(a, c.Output, fields{"team": c.Team, "cost_center": c.CostCenter, "name": c.Name, "environment": c.Env})
}

// ensureProject creates what is missing of a project and its team, and prints it.
func ensureProject(a *cli, output string, want fields) error {
	return a.ask(needs{creates: true}, func(r adminapi.API) error {
		p, err := adminapi.Do[manage.ProjectView](a.ctx, r, adminapi.Post("/projects", want))
		if err != nil {
			return err
		}
		if output == "json" {
			return printJSON(a.stdout, p)
		}
		_, err = fmt.Fprintf(a.stdout, "team %s (%s), cost center %s\nproject %s (%s), environment %s\n",
			p.Team.Name, p.Team.ID, p.CostCenter, p.Name, p.ID, p.Environment)
		return err
	})
}

// ownerStatus is that of a team or a project.
func ownerStatus(archived *string) string {
	if archived == nil {
		return "active"
	}
	return "archived"
}
