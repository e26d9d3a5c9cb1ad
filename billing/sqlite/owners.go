package sqlite

import (
	"context"
	"fmt"

	"tallyroute/billing"
)

const selectProjects = `SELECT p.id, p.name, p.team_id, t.name, t.cost_center, p.environment, p.created_at, p.archived_at
FROM projects p
JOIN teams t ON t.id = p.team_id
`

func projectScan(p *billing.Project) []any {
	return []any{&p.ID, &p.Name, &p.TeamID, &p.Team, &p.CostCenter, &p.Environment, instant{&p.CreatedAt}, instant{&p.ArchivedAt}}
}

const (
	selectTeamID  = `SELECT id FROM teams WHERE name = ? AND archived_at IS NULL`
	insertTeam    = `INSERT INTO teams (id, name, cost_center, created_at) VALUES (?, ?, ?, ?)`
	whereTeamName = `WHERE p.team_id = ? AND p.name = ? AND p.archived_at IS NULL`
	insertProject = `INSERT INTO projects (id, team_id, name, environment, created_at) VALUES (?, ?, ?, ?, ?)`
)

// EnsureProject implements billing.Owners. A new project is in prod and a new
// team's cost centre is "unallocated" where p does not say otherwise.
func (s *Store) EnsureProject(ctx context.Context, p billing.Project, notes ...*billing.Change) (billing.Project, error) {
	p.Team, p.Name, p.CostCenter = billing.CleanText(p.Team), billing.CleanText(p.Name), billing.CleanText(p.CostCenter)
	switch p.Environment {
	case "", "prod", "staging", "dev":
	default:
		return billing.Project{}, &billing.ConflictError{Detail: fmt.Sprintf("no environment %q: want prod, staging or dev", p.Environment)}
	}
	if p.Name == "" || (p.Team == "" && p.TeamID == "") {
		return billing.Project{}, &billing.ConflictError{Detail: "a project needs a name and a team"}
	}
	var got billing.Project
	err := s.write.do(ctx, func(ctx context.Context, tx *session) (err error) {
		got, err = s.ensureProject(ctx, tx, p, notes)
		return err
	})
	if err == nil && p.Environment != "" && p.Environment != got.Environment {
		return billing.Project{}, &billing.ConflictError{Detail: fmt.Sprintf("project %q of team %q is in %s, not in %s", got.Name,
			got.Team, got.Environment, p.Environment)}
	}
	return got, err
}

func (s *Store) ensureProject(ctx context.Context, tx *session, p billing.Project, notes []*billing.Change) (
	got billing.Project, err error,
) {
	if err := s.ensureTeam(ctx, tx, &p); err != nil {
		return got, err
	}
	find := func() (bool, error) {
		return tx.row(ctx, selectProjects+whereTeamName, []any{p.TeamID, p.Name}, projectScan(&got)...)
	}
	if found, err := find(); found || err != nil {
		return got, err
	}
	if p.Environment == "" {
		p.Environment = "prod"
	}
	if _, err := tx.exec(ctx, insertProject, billing.NewID("proj_"), p.TeamID, p.Name, p.Environment, stamp(s.clock())); err != nil {
		return got, err
	}
	if _, err = find(); err != nil {
		return got, err
	}
	for _, n := range notes {
		n.Object = got.ID
	}
	return got, note(ctx, tx, notes)
}

// ensureTeam fills in p.TeamID.
func (s *Store) ensureTeam(ctx context.Context, tx *session, p *billing.Project) error {
	if p.TeamID != "" {
		return wantScope(ctx, tx, billing.ScopeTeam, p.TeamID)
	}
	found, err := tx.row(ctx, selectTeamID, []any{p.Team}, &p.TeamID)
	if found || err != nil {
		return err
	}
	if p.CostCenter == "" {
		p.CostCenter = "unallocated"
	}
	p.TeamID = billing.NewID("team_")
	_, err = tx.exec(ctx, insertTeam, p.TeamID, p.Team, p.CostCenter, stamp(s.clock()))
	return err
}

const selectTeams = `SELECT id, name, cost_center, owner_email, created_at, archived_at FROM teams ORDER BY name, id`

// ListTeams implements billing.Owners. They are ordered by name.
func (s *Store) ListTeams(ctx context.Context) ([]billing.Team, error) {
	var teams []billing.Team
	err := s.read.rows(ctx, selectTeams, nil, func(scan scanner) error {
		var t billing.Team
		err := scan(&t.ID, &t.Name, &t.CostCenter, &t.OwnerEmail, instant{&t.CreatedAt}, instant{&t.ArchivedAt})
		teams = append(teams, t)
		return err
	})
	return teams, err
}

const byTeamAndName = `ORDER BY t.name, p.name, p.id`

// ListProjects implements billing.Owners. They are ordered by team and name.
func (s *Store) ListProjects(ctx context.Context) ([]billing.Project, error) {
	var projects []billing.Project
	err := s.read.rows(ctx, selectProjects+byTeamAndName, nil, func(scan scanner) error {
		var p billing.Project
		err := scan(projectScan(&p)...)
		projects = append(projects, p)
		return err
	})
	return projects, err
}

// scopeExists looks a scope up by its id.
var scopeExists = map[billing.Scope]string{
	billing.ScopeKey:     `SELECT count(*) FROM api_keys WHERE id = ?`,
	billing.ScopeProject: `SELECT count(*) FROM projects WHERE id = ?`,
	billing.ScopeTeam:    `SELECT count(*) FROM teams WHERE id = ?`,
	billing.ScopeOrg:     `SELECT 'org' = ?`,
}

// wantScope is a *billing.NotFoundError where there is no such thing.
func wantScope(ctx context.Context, tx *session, scope billing.Scope, id string) error {
	var there bool
	if _, err := tx.row(ctx, scopeExists[scope], []any{id}, &there); err != nil {
		return err
	}
	if !there {
		return &billing.NotFoundError{What: string(scope), ID: id}
	}
	return nil
}
