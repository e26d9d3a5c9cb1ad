package people

import (
	"fmt"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
)

// Projects is "tallyroute projects".
type Projects struct {
	List    projectsList    `cmd:"" help:"List the projects."`
	Create  projectsCreate  `cmd:"" help:"Create a project, and its team if it does not exist."`
	Update  projectsUpdate  `cmd:"" help:"Rename a project, or move it to another team."`
	Archive projectsArchive `cmd:"" help:"End a project with all its keys; their spend is kept."`
}

type projectsList struct{ cli.Format }

// Run lists the projects.
func (c projectsList) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		projects, err := adminapi.All[manage.ProjectView](a.Ctx, r, "/projects", nil, 0)
		if err != nil {
			return err
		}
		t := cli.Table{Header: []string{"ID", "TEAM", "NAME", "ENVIRONMENT", "COST CENTER", "STATUS", "CREATED"}, Records: projects}
		for _, v := range projects {
			t.Add(cli.Text(v.ID), cli.Text(v.Team.Name), cli.Text(v.Name), cli.Text(v.Environment), cli.Text(v.CostCenter),
				cli.Text(ownerStatus(v.ArchivedAt)),
				cli.Text(cli.DayOf(v.CreatedAt)))
		}
		return t.Write(a.Stdout, c.Output)
	})
}

type projectsCreate struct {
	cli.PlainFormat
	Name       string `arg:"" help:"Name of the project."`
	Team       string `help:"Name of its team." required:"" placeholder:"NAME"`
	Env        string `help:"Environment: ${enum}." enum:"prod,staging,dev" default:"prod"`
	CostCenter string `help:"Cost center of a new team." placeholder:"NAME"`
	DataClass  string `help:"The class of the data in its requests, such as confidential." placeholder:"NAME"`
}

// Run creates the project, or finds an existing one.
func (c projectsCreate) Run(a *cli.Context) error {
	return ensureProject(a, c.Output, cli.Fields{
		"team": c.Team, "cost_center": c.CostCenter, "name": c.Name, "environment": c.Env,
		"data_class": c.DataClass,
	})
}

// ensureProject creates a project and its team as far as they are missing, and prints the
// project.
func ensureProject(a *cli.Context, output string, want cli.Fields) error {
	return a.Ask(cli.Needs{Creates: true}, func(r adminapi.API) error {
		p, err := adminapi.Do[manage.ProjectView](a.Ctx, r, adminapi.Post("/projects", want))
		if err != nil {
			return err
		}
		if output == "json" {
			return cli.PrintJSON(a.Stdout, p)
		}
		_, err = fmt.Fprintf(a.Stdout, "team %s (%s), cost center %s\nproject %s (%s), environment %s\n",
			p.Team.Name, p.Team.ID, p.CostCenter, p.Name, p.ID, p.Environment)
		return err
	})
}

// ownerStatus returns the status of a team or a project.
func ownerStatus(archived *string) string {
	if archived == nil {
		return "active"
	}
	return "archived"
}
