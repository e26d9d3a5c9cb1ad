package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/oklog/ulid/v2"

	"tallyroute/billing"
)

// newID returns prefix followed by a ULID, so that ids sort by age.
func newID(prefix string) string { return prefix + ulid.Make().String() }

// existsSQL checks, for each scope, whether its object exists.
var existsSQL = map[billing.Scope]string{
	billing.ScopeKey:     "SELECT EXISTS (SELECT FROM api_keys WHERE id = $1)",
	billing.ScopeProject: "SELECT EXISTS (SELECT FROM projects WHERE id = $1)",
	billing.ScopeTeam:    "SELECT EXISTS (SELECT FROM teams WHERE id = $1)",
	billing.ScopeOrg:     "SELECT $1 = 'org'",
}

func mustExist(ctx context.Context, tx pgx.Tx, scope billing.Scope, id string) error {
	sql, ok := existsSQL[scope]
	if !ok {
		return &billing.ConflictError{Detail: fmt.Sprintf("unknown scope %q", scope)}
	}
	var exists bool
	if err := tx.QueryRow(ctx, sql, id).Scan(&exists); err != nil {
		return err
	}
	if !exists {
		return &billing.NotFoundError{What: string(scope), ID: id}
	}
	return nil
}

const (
	teamSQL       = "SELECT id, name, cost_center, owner_email, created_at, archived_at, policy FROM teams"
	findTeamSQL   = teamSQL + " WHERE archived_at IS NULL AND (id = $1 OR name = $2 AND $1 = '')"
	createTeamSQL = "INSERT INTO teams (id, name, cost_center) VALUES ($1, $2, $3)"

	projectSQL = `
SELECT p.id, p.name, p.team_id, t.name, t.cost_center, p.environment, p.created_at, p.archived_at, p.policy, p.data_class
  FROM projects p JOIN teams t ON t.id = p.team_id`
	findProjectSQL   = projectSQL + " WHERE p.archived_at IS NULL AND p.team_id = $1 AND p.name = $2"
	createProjectSQL = "INSERT INTO projects (id, team_id, name, environment, data_class) VALUES ($1, $2, $3, $4, $5)"
)

// EnsureProject implements billing.Owners.
func (s *Store) EnsureProject(ctx context.Context, p billing.Project, notes ...*billing.Change) (found billing.Project, err error) {
	if p.Name == "" || (p.Team == "" && p.TeamID == "") {
		return billing.Project{}, &billing.ConflictError{Detail: "a project needs a name and a team"}
	}
	switch p.Environment {
	case "", "prod", "staging", "dev":
	default:
		return billing.Project{}, &billing.ConflictError{
			Detail: fmt.Sprintf("environment %q is not one of prod, staging and dev", p.Environment),
		}
	}
	p.Team, p.Name, p.CostCenter = billing.CleanText(p.Team), billing.CleanText(p.Name), billing.CleanText(p.CostCenter)
	err = s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		team, err := ensureTeam(ctx, tx, p)
		if err != nil {
			return err
		}
		made, err := ensureProject(ctx, tx, team, p)
		if err != nil {
			return err
		}
		found = made.Project
		if !made.fresh {
			return nil
		}
		for _, n := range notes {
			n.Object = found.ID
		}
		return note(ctx, tx, notes)
	})
	return found, err
}

func ensureTeam(ctx context.Context, tx pgx.Tx, p billing.Project) (string, error) {
	team, err := one(ctx, tx, scanTeam, findTeamSQL, p.TeamID, p.Team)
	if !errors.Is(err, pgx.ErrNoRows) {
		return team.ID, err
	}
	if p.TeamID != "" {
		return "", &billing.NotFoundError{What: "team", ID: p.TeamID}
	}
	id := newID("team_")
	_, err = tx.Exec(ctx, createTeamSQL, id, p.Team, cmp.Or(p.CostCenter, "unallocated"))
	return id, err
}

// ensured is a project that already existed or has just been created.
type ensured struct {
	billing.Project
	fresh bool
}

func ensureProject(ctx context.Context, tx pgx.Tx, team string, p billing.Project) (ensured, error) {
	found, err := one(ctx, tx, scanProject, findProjectSQL, team, p.Name)
	if errors.Is(err, pgx.ErrNoRows) {
		if _, err := tx.Exec(ctx, createProjectSQL, cmp.Or(p.ID, newID("proj_")), team, p.Name, cmp.Or(p.Environment, "prod"),
			billing.CleanText(p.DataClass)); err != nil {
			return ensured{}, err
		}
		found, err = one(ctx, tx, scanProject, findProjectSQL, team, p.Name)
		return ensured{found, true}, err
	}
	if err == nil && p.Environment != "" && p.Environment != found.Environment {
		return ensured{}, &billing.ConflictError{
			Detail: fmt.Sprintf("project %q of team %q is in environment %s, not %s", found.Name, found.Team, found.Environment,
				p.Environment),
		}
	}
	return ensured{Project: found}, err
}

func one[T any](ctx context.Context, q querier, scan pgx.RowToFunc[T], sql string, args ...any) (T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		var none T
		return none, err
	}
	return pgx.CollectExactlyOneRow(rows, scan)
}

func scanTeam(row pgx.CollectableRow) (billing.Team, error) {
	var t billing.Team
	var archived *time.Time
	err := row.Scan(&t.ID, &t.Name, &t.CostCenter, &t.OwnerEmail, &t.CreatedAt, &archived, &t.Policy)
	t.CreatedAt, t.ArchivedAt = t.CreatedAt.UTC(), utc(archived)
	return t, err
}

func scanProject(row pgx.CollectableRow) (billing.Project, error) {
	var p billing.Project
	var archived *time.Time
	err := row.Scan(&p.ID, &p.Name, &p.TeamID, &p.Team, &p.CostCenter, &p.Environment, &p.CreatedAt, &archived, &p.Policy, &p.DataClass)
	p.CreatedAt, p.ArchivedAt = p.CreatedAt.UTC(), utc(archived)
	return p, err
}

// ListTeams implements billing.Owners.
func (s *Store) ListTeams(ctx context.Context) ([]billing.Team, error) {
	return all(ctx, s, scanTeam, teamSQL+" ORDER BY name, id")
}

// ListProjects implements billing.Owners.
func (s *Store) ListProjects(ctx context.Context) ([]billing.Project, error) {
	return all(ctx, s, scanProject, projectSQL+" ORDER BY t.name, p.name, p.id")
}

func all[T any](ctx context.Context, s *Store, scan pgx.RowToFunc[T], sql string, args ...any) (rows []T, err error) {
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		r, err := c.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		rows, err = pgx.CollectRows(r, scan)
		return err
	})
	return rows, err
}

const namesSQL = `
SELECT id, name, '', '', '' FROM api_keys WHERE id = ANY ($1)
UNION ALL SELECT id, name, '', '', '' FROM teams WHERE id = ANY ($1)
UNION ALL SELECT id, name, '', '', '' FROM principals WHERE id = ANY ($1)
UNION ALL
SELECT p.id, t.name || '/' || p.name, '', '', '' FROM projects p JOIN teams t ON t.id = p.team_id
 WHERE p.id = ANY ($1)
UNION ALL
SELECT b.id, coalesce('key ' || k.name, 'team ' || t.name, 'project ' || pt.name || '/' || p.name, 'the organisation'),
       b.period, b.part, b.named
  FROM budgets b
  LEFT JOIN api_keys k ON b.scope = 'key' AND k.id = b.scope_id
  LEFT JOIN teams t ON b.scope = 'team' AND t.id = b.scope_id
  LEFT JOIN projects p ON b.scope = 'project' AND p.id = b.scope_id
  LEFT JOIN teams pt ON pt.id = p.team_id
 WHERE b.id = ANY ($1)`

// Names implements billing.Owners.
func (s *Store) Names(ctx context.Context, ids ...string) (map[string]string, error) {
	type named struct {
		ID, Name string
		Period   billing.Period // of a budget; Name is then that of what it applies to
		Part     billing.Part
		Named    string
	}
	list, err := all(ctx, s, pgx.RowToStructByPos[named], namesSQL, ids)
	names := make(map[string]string, len(list))
	for _, n := range list {
		names[n.ID] = billing.Budget{Period: n.Period, Part: n.Part, Named: n.Named}.NameFor(n.Name)
	}
	return names, err
}
