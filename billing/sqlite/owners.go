package sqlite

import (
	"context"
	"fmt"
	"time"

	"tallyroute/billing"
)

const selectProjects = `SELECT p.id, p.name, p.team_id, t.name, t.cost_center, p.environment, p.created_at, p.archived_at, p.policy,
  p.data_class
FROM projects p
JOIN teams t ON t.id = p.team_id
`

func projectScan(p *billing.Project) []any {
	return []any{
		&p.ID, &p.Name, &p.TeamID, &p.Team, &p.CostCenter, &p.Environment,
		instant{&p.CreatedAt},
		instant{&p.ArchivedAt},
		orNil{&p.Policy},
		&p.DataClass,
	}
}

const (
	selectTeamID  = `SELECT id FROM teams WHERE name = ? AND archived_at IS NULL`
	insertTeam    = `INSERT INTO teams (id, name, cost_center, created_at) VALUES (?, ?, ?, ?)`
	whereTeamName = `WHERE p.team_id = ? AND p.name = ? AND p.archived_at IS NULL`
	insertProject = `INSERT INTO projects (id, team_id, name, environment, created_at, data_class) VALUES (?, ?, ?, ?, ?, ?)`
)

// EnsureProject implements billing.Owners. Unless p says otherwise, a new project is in prod and
// the cost center of a new team is "unallocated".
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
	if _, err := tx.exec(ctx, insertProject, billing.NewID("proj_"), p.TeamID, p.Name, p.Environment, stamp(s.clock()),
		billing.CleanText(p.DataClass)); err != nil {
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

// ensureTeam fills in p.TeamID and creates the team if it does not exist.
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

const (
	teamColumns = `SELECT id, name, cost_center, owner_email, created_at, archived_at, policy FROM teams `
	selectTeams = teamColumns + `ORDER BY name, id`
)

func teamScan(t *billing.Team) []any {
	return []any{&t.ID, &t.Name, &t.CostCenter, &t.OwnerEmail, instant{&t.CreatedAt}, instant{&t.ArchivedAt}, orNil{&t.Policy}}
}

// ListTeams implements billing.Owners. Teams are ordered by name.
func (s *Store) ListTeams(ctx context.Context) ([]billing.Team, error) {
	var teams []billing.Team
	err := s.read.rows(ctx, selectTeams, nil, func(scan scanner) error {
		var t billing.Team
		err := scan(teamScan(&t)...)
		teams = append(teams, t)
		return err
	})
	return teams, err
}

const byTeamAndName = `ORDER BY t.name, p.name, p.id`

// ListProjects implements billing.Owners. Projects are ordered by team and name.
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

// scopeExists maps each kind of scope to the query that looks it up by id.
var scopeExists = map[billing.Scope]string{
	billing.ScopeKey:     `SELECT count(*) FROM api_keys WHERE id = ?`,
	billing.ScopeProject: `SELECT count(*) FROM projects WHERE id = ?`,
	billing.ScopeTeam:    `SELECT count(*) FROM teams WHERE id = ?`,
	billing.ScopeOrg:     `SELECT 'org' = ?`,
}

// wantScope returns a *billing.NotFoundError if the scope does not exist.
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

const (
	whereTeam     = `WHERE id = ?`
	whereProject  = `WHERE p.id = ?`
	teamNamed     = `SELECT count(*) FROM teams WHERE name = ? AND id <> ? AND archived_at IS NULL`
	projectNamed  = `SELECT count(*) FROM projects WHERE team_id = ? AND name = ? AND id <> ? AND archived_at IS NULL`
	updateTeam    = `UPDATE teams SET name = ?, cost_center = ?, owner_email = ?, archived_at = ?, policy = ? WHERE id = ?`
	updateProject = `UPDATE projects SET name = ?, team_id = ?, archived_at = ?, policy = ?, data_class = ? WHERE id = ?`
	archiveBelow  = `UPDATE projects SET archived_at = ? WHERE team_id = ? AND archived_at IS NULL`
	archiveKeysOf = `UPDATE api_keys SET archived_at = ?2, revoked_at = coalesce(revoked_at, ?2),
  revoked_reason = CASE WHEN revoked_at IS NULL THEN ?3 ELSE revoked_reason END, version = version + 1
WHERE archived_at IS NULL AND `
	ofProject = `project_id = ?1`
	ofTeam    = `project_id IN (SELECT id FROM projects WHERE team_id = ?1)`
)

// UpdateTeam implements billing.Owners.
func (s *Store) UpdateTeam(ctx context.Context, id string, change func(*billing.Team) error, notes ...*billing.Change) (
	t billing.Team, err error,
) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		t = billing.Team{}
		found, err := tx.row(ctx, teamColumns+whereTeam, []any{id}, teamScan(&t)...)
		if err == nil && !found {
			err = &billing.NotFoundError{What: "team", ID: id}
		}
		if err != nil {
			return err
		}
		was := t
		if err := change(&t); err != nil {
			return err
		}
		if err := wantFree(ctx, tx, "team", t.Name, teamNamed, billing.CleanText(t.Name), id); err != nil && t.ArchivedAt.IsZero() {
			return err
		}
		if _, err := tx.exec(ctx, updateTeam, billing.CleanText(t.Name), billing.CleanText(t.CostCenter), billing.CleanText(t.OwnerEmail),
			stampOrNull(t.ArchivedAt), policyOrNull(t.Policy), id); err != nil {
			return err
		}
		if was.ArchivedAt.IsZero() && !t.ArchivedAt.IsZero() {
			projects, err := tx.exec(ctx, archiveBelow, stamp(t.ArchivedAt), id)
			if err != nil {
				return err
			}
			billing.Tally(notes, "projects", projects)
			if err := endKeys(ctx, tx, billing.ScopeTeam, id, t.ArchivedAt, notes); err != nil {
				return err
			}
		}
		if _, err := tx.exec(ctx, raiseVersions, string(billing.ScopeTeam), id); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
	return t, err
}

// UpdateProject implements billing.Owners.
func (s *Store) UpdateProject(ctx context.Context, id string, change func(*billing.Project) error, notes ...*billing.Change) (
	p billing.Project, err error,
) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		p = billing.Project{}
		found, err := tx.row(ctx, selectProjects+whereProject, []any{id}, projectScan(&p)...)
		if err == nil && !found {
			err = &billing.NotFoundError{What: "project", ID: id}
		}
		if err != nil {
			return err
		}
		was := p
		if err := change(&p); err != nil {
			return err
		}
		if err := wantScope(ctx, tx, billing.ScopeTeam, p.TeamID); err != nil {
			return err
		}
		if err := wantFree(ctx, tx, "project", p.Name, projectNamed, p.TeamID, billing.CleanText(p.Name), id); err != nil &&
			p.ArchivedAt.IsZero() {
			return err
		}
		if _, err := tx.exec(ctx, updateProject, billing.CleanText(p.Name), p.TeamID, stampOrNull(p.ArchivedAt), policyOrNull(p.Policy),
			billing.CleanText(p.DataClass), id); err != nil {
			return err
		}
		if was.ArchivedAt.IsZero() && !p.ArchivedAt.IsZero() {
			if err := endKeys(ctx, tx, billing.ScopeProject, id, p.ArchivedAt, notes); err != nil {
				return err
			}
		}
		if _, err := tx.exec(ctx, raiseVersions, string(billing.ScopeProject), id); err != nil {
			return err
		}
		if err := note(ctx, tx, notes); err != nil {
			return err
		}
		_, err = tx.row(ctx, selectProjects+whereProject, []any{id}, projectScan(&p)...)
		return err
	})
	return p, err
}

// wantFree returns a *billing.ConflictError if the name is taken.
func wantFree(ctx context.Context, tx *session, what, name, query string, args ...any) error {
	var others int
	if _, err := tx.row(ctx, query, args, &others); err != nil {
		return err
	}
	if others > 0 {
		return &billing.ConflictError{Detail: fmt.Sprintf("there is another %s %q", what, name)}
	}
	return nil
}

// endKeys archives the keys below a scope, destroys their secrets, and notes how many keys there
// were.
func endKeys(ctx context.Context, tx *session, scope billing.Scope, id string, at time.Time, notes []*billing.Change) error {
	of := map[billing.Scope]string{billing.ScopeProject: ofProject, billing.ScopeTeam: ofTeam}[scope]
	keys, err := tx.exec(ctx, archiveKeysOf+of, id, stamp(at), string(scope)+" archived")
	if err != nil {
		return err
	}
	billing.Tally(notes, "keys", keys)
	copies, err := destroySecrets(ctx, tx, scope, id)
	billing.Tally(notes, "copies", copies)
	return err
}

const selectNames = `SELECT id, name, '', '', '' FROM api_keys WHERE id IN (SELECT value FROM json_each(?1))
UNION ALL SELECT id, name, '', '', '' FROM teams WHERE id IN (SELECT value FROM json_each(?1))
UNION ALL SELECT id, name, '', '', '' FROM principals WHERE id IN (SELECT value FROM json_each(?1))
UNION ALL
SELECT p.id, t.name || '/' || p.name, '', '', '' FROM projects p JOIN teams t ON t.id = p.team_id
 WHERE p.id IN (SELECT value FROM json_each(?1))
UNION ALL
SELECT b.id, coalesce('key ' || k.name, 'team ' || t.name, 'project ' || pt.name || '/' || p.name, 'the organisation'),
       b.period, b.part, b.named
  FROM budgets b
  LEFT JOIN api_keys k ON b.scope = 'key' AND k.id = b.scope_id
  LEFT JOIN teams t ON b.scope = 'team' AND t.id = b.scope_id
  LEFT JOIN projects p ON b.scope = 'project' AND p.id = b.scope_id
  LEFT JOIN teams pt ON pt.id = p.team_id
 WHERE b.id IN (SELECT value FROM json_each(?1))`

// Names implements billing.Owners.
func (s *Store) Names(ctx context.Context, ids ...string) (map[string]string, error) {
	names := make(map[string]string, len(ids))
	err := s.read.rows(ctx, selectNames, []any{asJSON(ids)}, func(scan scanner) error {
		var id, name string // of a budget, the name of what it applies to
		var b billing.Budget
		err := scan(&id, &name, &b.Period, &b.Part, &b.Named)
		names[id] = b.NameFor(name)
		return err
	})
	return names, err
}
