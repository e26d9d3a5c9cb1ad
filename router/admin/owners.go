package admin

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"tallyroute/billing"
)

type teamView struct {
	ID         string  `json:"id"`
	Name       string  `json:"name"`
	CostCenter string  `json:"cost_center"`
	OwnerEmail *string `json:"owner_email"`
	CreatedAt  *string `json:"created_at"`
	ArchivedAt *string `json:"archived_at"`
}

type projectView struct {
	ID          string  `json:"id"`
	Name        string  `json:"name"`
	Team        named   `json:"team"`
	CostCenter  string  `json:"cost_center"`
	Environment string  `json:"environment"`
	CreatedAt   *string `json:"created_at"`
	ArchivedAt  *string `json:"archived_at"`
}

func viewTeam(t billing.Team) teamView {
	v := teamView{ID: t.ID, Name: t.Name, CostCenter: t.CostCenter, CreatedAt: instant(t.CreatedAt), ArchivedAt: instant(t.ArchivedAt)}
	if t.OwnerEmail != "" {
		v.OwnerEmail = &t.OwnerEmail
	}
	return v
}

func viewProject(p billing.Project) projectView {
	return projectView{p.ID, p.Name, named{p.TeamID, p.Team}, p.CostCenter, p.Environment, instant(p.CreatedAt), instant(p.ArchivedAt)}
}

func listTeams(x *exchange) error {
	teams, err := x.Owners.ListTeams(x.ctx())
	if err != nil {
		return err
	}
	views := make([]teamView, len(teams))
	for i, t := range teams {
		views[i] = viewTeam(t)
	}
	return paged(x, views, func(t teamView) string { return t.ID })
}

// createTeam is POST /teams. A team comes with its first project, without which
// it could own nothing. One that is there already is found, not changed.
func createTeam(x *exchange) error {
	var p billing.Project
	_, err := x.body(object{"name": &p.Team, "cost_center": &p.CostCenter, "project": &p.Name, "environment": &p.Environment})
	if err != nil {
		return err
	}
	if p.Team == "" {
		return invalid("name", "must be there")
	}
	p.Name = cmp.Or(p.Name, "default")
	teams, err := x.Owners.ListTeams(x.ctx())
	if err != nil {
		return err
	}
	there := slices.ContainsFunc(teams, func(t billing.Team) bool { return t.Name == p.Team })
	made, err := x.Issuer.EnsureProject(x.ctx(), p)
	if err != nil {
		return err
	}
	if teams, err = x.Owners.ListTeams(x.ctx()); err != nil {
		return err
	}
	i := slices.IndexFunc(teams, func(t billing.Team) bool { return t.ID == made.TeamID })
	if i < 0 {
		return &billing.NotFoundError{What: "team", ID: made.TeamID}
	}
	x.subject = made.TeamID
	return x.json(madeOrFound[there], struct {
		teamView
		Project projectView `json:"project"`
	}{viewTeam(teams[i]), viewProject(made)})
}

func listProjects(x *exchange) error {
	projects, err := x.Owners.ListProjects(x.ctx())
	if err != nil {
		return err
	}
	views := make([]projectView, len(projects))
	for i, p := range projects {
		views[i] = viewProject(p)
	}
	return paged(x, views, func(p projectView) string { return p.ID })
}

// createProject is POST /projects. The team, by name or id, is made if it is new.
func createProject(x *exchange) error {
	var p billing.Project
	_, err := x.body(object{"name": &p.Name, "team": &p.Team, "cost_center": &p.CostCenter, "environment": &p.Environment})
	if err != nil {
		return err
	}
	if p.Team == "" {
		return invalid("team", "must be there")
	}
	projects, err := x.Owners.ListProjects(x.ctx())
	if err != nil {
		return err
	}
	there := slices.ContainsFunc(projects, func(o billing.Project) bool {
		return o.Name == p.Name && (o.Team == p.Team || o.TeamID == p.Team)
	})
	if strings.HasPrefix(p.Team, "team_") {
		p.TeamID, p.Team = p.Team, ""
	}
	made, err := x.Issuer.EnsureProject(x.ctx(), p)
	if err != nil {
		return err
	}
	x.subject = made.ID
	return x.json(madeOrFound[there], viewProject(made))
}

// madeOrFound is the status of an answer about what was there already, or not.
var madeOrFound = map[bool]int{false: http.StatusCreated, true: http.StatusOK}
