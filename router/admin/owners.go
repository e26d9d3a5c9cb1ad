package admin

import (
	"slices"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
)

func listTeams(x *exchange, in paging) (page[manage.TeamView], error) {
	teams, err := x.Actions.Teams(x.ctx())
	if err != nil {
		return page[manage.TeamView]{}, err
	}
	teams = slices.DeleteFunc(teams, func(t billing.Team) bool { return !x.access.May(rbac.OwnersRead, rbac.Place{TeamID: t.ID}) })
	return paged(in, teams, manage.ViewTeam, func(t manage.TeamView) string { return t.ID })
}

// newTeam is the body of createTeam.
type newTeam struct {
	Name        string `json:"name" required:"true"`
	CostCenter  string `json:"cost_center"`
	Project     string `json:"project" doc:"Its first project; default, if it is not named."`
	Environment string `json:"environment" enum:"prod,staging,dev" doc:"Of the project."`
}

// CreatedTeam is a team with its first project.
type CreatedTeam struct {
	manage.TeamView
	Project manage.ProjectView `json:"project"`
}

// createTeam is POST /teams: a team with its first project. One that is there
// already is found, unless it differs.
func createTeam(x *exchange, in newTeam) (CreatedTeam, error) {
	made, err := x.Actions.EnsureTeam(x.ctx(), billing.Project{
		Team: in.Name, CostCenter: in.CostCenter, Name: in.Project, Environment: in.Environment,
	}, x.by(""))
	if err != nil {
		return CreatedTeam{}, err
	}
	x.subject = made.Team.ID
	x.status = madeOrFound[made.Existed]
	return CreatedTeam{manage.ViewTeam(made.Team), manage.ViewProject(made.Project)}, nil
}

func listProjects(x *exchange, in paging) (page[manage.ProjectView], error) {
	projects, err := x.Actions.Projects(x.ctx())
	if err != nil {
		return page[manage.ProjectView]{}, err
	}
	projects = slices.DeleteFunc(projects, func(p billing.Project) bool {
		return !x.access.May(rbac.OwnersRead, rbac.Place{TeamID: p.TeamID, ProjectID: p.ID})
	})
	return paged(in, projects, manage.ViewProject, func(p manage.ProjectView) string { return p.ID })
}

// newProject is the body of createProject.
type newProject struct {
	Name        string `json:"name" required:"true"`
	Team        string `json:"team" required:"true" doc:"Name or id; made if the name is new."`
	CostCenter  string `json:"cost_center"`
	Environment string `json:"environment" enum:"prod,staging,dev"`
	DataClass   string `json:"data_class" doc:"Of what its requests carry, such as confidential."`
}

// createProject is POST /projects. The team, by name or id, is made if it is new.
func createProject(x *exchange, in newProject) (manage.ProjectView, error) {
	if err := x.needsScope(rbac.OwnersWrite, in.Team, ""); err != nil {
		return manage.ProjectView{}, err
	}
	project, existed, err := x.Actions.EnsureProject(x.ctx(), billing.Project{
		Name: in.Name, Team: in.Team, CostCenter: in.CostCenter, Environment: in.Environment, DataClass: in.DataClass,
	}, x.by(""))
	if err != nil {
		return manage.ProjectView{}, err
	}
	x.subject = project.ID
	x.status = madeOrFound[existed]
	return manage.ViewProject(project), nil
}
