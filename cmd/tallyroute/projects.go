package main

import (
	"fmt"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/config"
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
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		projects, err := m.Projects(a.ctx)
		if err != nil {
			return err
		}
		t := table{header: []string{"ID", "TEAM", "NAME", "ENVIRONMENT", "COST CENTER", "STATUS", "CREATED"}}
		views := []manage.ProjectView{}
		for _, p := range projects {
			t.add(text(p.ID), text(p.Team), text(p.Name), text(p.Environment), text(p.CostCenter), text(ownerStatus(p.ArchivedAt)),
				text(day(p.CreatedAt)))
			views = append(views, manage.ViewProject(p))
		}
		t.records = views
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
	return a.ensureProject(c.Output, billing.Project{Team: c.Team, CostCenter: c.CostCenter, Name: c.Name, Environment: c.Env})
}

// ensureProject creates what is missing of a project and its team, and prints it.
func (a *cli) ensureProject(output string, want billing.Project) error {
	return a.withNewStore(func(s billing.Store, _ *config.Config) error {
		p, _, err := manage.Actions{Store: s}.EnsureProject(a.ctx, want, by(""))
		if err != nil {
			return err
		}
		if output == "json" {
			return printJSON(a.stdout, manage.ViewProject(p))
		}
		_, err = fmt.Fprintf(a.stdout, "team %s (%s), cost center %s\nproject %s (%s), environment %s\n",
			p.Team, p.TeamID, p.CostCenter, p.Name, p.ID, p.Environment)
		return err
	})
}

// ownerStatus is that of a team or a project.
func ownerStatus(archived time.Time) string {
	if archived.IsZero() {
		return "active"
	}
	return "archived"
}
