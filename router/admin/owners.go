package admin

import (
	"net/http"

	"tallyroute/billing"
	"tallyroute/billing/manage"
)

func listTeams(x *exchange) error {
	teams, err := x.Actions.Store.ListTeams(x.ctx())
	if err != nil {
		return err
	}
	views := viewsOf(teams, manage.ViewTeam)
	return paged(x, views, func(t manage.TeamView) string { return t.ID })
}

// createTeam is POST /teams: a team with its first project. One that is there
// already is found, not changed.
func createTeam(x *exchange) error {
	var p billing.Project
	_, err := x.body(object{"name": &p.Team, "cost_center": &p.CostCenter, "project": &p.Name, "environment": &p.Environment})
	if err != nil {
		return err
	}
	made, err := x.Actions.EnsureTeam(x.ctx(), p)
	if err != nil {
		return err
	}
	x.subject = made.Team.ID
	return x.json(madeOrFound[made.Existed], struct {
		manage.TeamView
		Project manage.ProjectView `json:"project"`
	}{manage.ViewTeam(made.Team), manage.ViewProject(made.Project)})
}

func listProjects(x *exchange) error {
	projects, err := x.Actions.Store.ListProjects(x.ctx())
	if err != nil {
		return err
	}
	views := viewsOf(projects, manage.ViewProject)
	return paged(x, views, func(p manage.ProjectView) string { return p.ID })
}

// createProject is POST /projects. The team, by name or id, is made if it is new.
func createProject(x *exchange) error {
	var p billing.Project
	_, err := x.body(object{"name": &p.Name, "team": &p.Team, "cost_center": &p.CostCenter, "environment": &p.Environment})
	if err != nil {
		return err
	}
	project, existed, err := x.Actions.EnsureProject(x.ctx(), p)
	if err != nil {
		return err
	}
	x.subject = project.ID
	return x.json(madeOrFound[existed], manage.ViewProject(project))
}

// madeOrFound is the status of an answer about what was there already, or not.
var madeOrFound = map[bool]int{false: http.StatusCreated, true: http.StatusOK}
