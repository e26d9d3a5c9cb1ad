package manage

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"tallyroute/billing"
)

// The owners of keys that name none.
const (
	defaultTeam        = "default"
	defaultProject     = "default"
	defaultEnvironment = "dev"
)

// OwnedTeam is a team with one of its projects, and whether it existed before.
type OwnedTeam struct {
	Team    billing.Team
	Project billing.Project
	Existed bool
}

// EnsureTeam makes a team with its first project, without which it could own
// nothing. One that is there already is found, not changed.
func (a Actions) EnsureTeam(ctx context.Context, p billing.Project) (OwnedTeam, error) {
	if p.Team == "" {
		return OwnedTeam{}, invalid("name", "must be there")
	}
	p.Name = cmp.Or(p.Name, defaultProject)
	teams, err := a.Store.ListTeams(ctx)
	if err != nil {
		return OwnedTeam{}, err
	}
	existed := slices.ContainsFunc(teams, func(t billing.Team) bool { return t.Name == p.Team })
	project, err := a.ensureProject(ctx, p)
	if err != nil {
		return OwnedTeam{}, err
	}
	if teams, err = a.Store.ListTeams(ctx); err != nil {
		return OwnedTeam{}, err
	}
	i := slices.IndexFunc(teams, func(t billing.Team) bool { return t.ID == project.TeamID })
	if i < 0 {
		return OwnedTeam{}, &billing.NotFoundError{What: "team", ID: project.TeamID}
	}
	return OwnedTeam{teams[i], project, existed}, nil
}

// EnsureProject makes a project, and its team, by name or id, where that is new.
// One that is there already is found, not changed: existed says so.
func (a Actions) EnsureProject(ctx context.Context, p billing.Project) (project billing.Project, existed bool, err error) {
	if p.Team == "" {
		return project, false, invalid("team", "must be there")
	}
	all, err := a.Store.ListProjects(ctx)
	if err != nil {
		return project, false, err
	}
	existed = slices.ContainsFunc(all, func(o billing.Project) bool {
		return o.Name == p.Name && (o.Team == p.Team || o.TeamID == p.Team)
	})
	if strings.HasPrefix(p.Team, "team_") {
		p.TeamID, p.Team = p.Team, ""
	}
	project, err = a.ensureProject(ctx, p)
	return project, existed, err
}

func (a Actions) ensureProject(ctx context.Context, p billing.Project) (billing.Project, error) {
	if p.Name == "" {
		return billing.Project{}, invalid("name", "must be plain text of 1 to %d bytes", maxName)
	}
	err := checkOwner(KeyRequest{Project: p.Name, Team: cmp.Or(p.Team, p.TeamID), CostCenter: p.CostCenter, Environment: p.Environment})
	if err != nil {
		return billing.Project{}, err
	}
	return a.Store.EnsureProject(ctx, p)
}

// project finds the owner of a key, or makes it.
func (a Actions) project(ctx context.Context, r KeyRequest) (billing.Project, error) {
	name := cmp.Or(r.Project, defaultProject)
	byID := strings.HasPrefix(name, "proj_")
	if name == defaultProject { // which is one of many: that of another team must not pay
		r.Team = cmp.Or(r.Team, defaultTeam)
	}
	want := billing.Project{Name: name, Team: r.Team, CostCenter: r.CostCenter, Environment: r.Environment}
	all, err := a.Store.ListProjects(ctx)
	if err != nil {
		return billing.Project{}, err
	}
	var found []billing.Project
	for _, p := range all {
		ofTeam := r.Team == "" || r.Team == p.TeamID || r.Team == p.Team
		if ofTeam && ((byID && p.ID == name) || (!byID && p.Name == name)) {
			found = append(found, p)
		}
	}
	switch {
	case len(found) == 0 && byID:
		return billing.Project{}, &billing.NotFoundError{What: "project", ID: name}
	case len(found) > 1:
		return billing.Project{}, invalid("team", "several teams have a project %q: say which", name)
	case len(found) == 1 && !found[0].ArchivedAt.IsZero():
		return billing.Project{}, &billing.ConflictError{Detail: fmt.Sprintf("project %q is archived", name)}
	case len(found) == 1:
		want.Name, want.TeamID, want.Team = found[0].Name, found[0].TeamID, ""
	default:
		want.Environment = cmp.Or(want.Environment, defaultEnvironment)
		want.Team = cmp.Or(want.Team, defaultTeam)
		if strings.HasPrefix(want.Team, "team_") {
			want.TeamID, want.Team = want.Team, ""
		}
	}
	return a.ensureProject(ctx, want) // which judges the environment
}
