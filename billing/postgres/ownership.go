package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

const (
	updateTeamSQL = "UPDATE teams SET name = $2, cost_center = $3, owner_email = $4, archived_at = $5, policy = $6 WHERE id = $1"
	// updateProjectSQL does not change the environment, because secrets include it.
	updateProjectSQL = "UPDATE projects SET name = $2, team_id = $3, archived_at = $4, policy = $5, data_class = $6 WHERE id = $1"

	archiveProjectsSQL = "UPDATE projects SET archived_at = $2 WHERE team_id = $1 AND archived_at IS NULL"
	// archiveKeysSQL archives and revokes the keys below a scope.
	archiveKeysSQL = `
UPDATE api_keys
   SET archived_at = coalesce(archived_at, $3), revoked_at = coalesce(revoked_at, $3),
       revoked_reason = CASE WHEN revoked_at IS NULL THEN $4 ELSE revoked_reason END, version = version + 1
 WHERE archived_at IS NULL AND id IN (
   SELECT k.id FROM api_keys k JOIN projects p ON p.id = k.project_id
    WHERE CASE $1 WHEN 'project' THEN k.project_id ELSE p.team_id END = $2
    ORDER BY k.id
      FOR UPDATE OF k)`
)

// UpdateTeam implements billing.Owners.
func (s *Store) UpdateTeam(ctx context.Context, id string, change func(*billing.Team) error, notes ...*billing.Change) (
	t billing.Team, err error,
) {
	const byID = teamSQL + " WHERE id = $1 FOR NO KEY UPDATE"
	err = s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if t, err = one(ctx, tx, scanTeam, byID, id); err != nil {
			return missing(err, "team", id)
		}
		was := t
		if err := change(&t); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, raiseSQL, billing.ScopeTeam, id); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, updateTeamSQL, id, billing.CleanText(t.Name), billing.CleanText(t.CostCenter),
			billing.CleanText(t.OwnerEmail), orNull(t.ArchivedAt), t.Policy); err != nil {
			return err
		}
		if was.ArchivedAt.IsZero() && !t.ArchivedAt.IsZero() {
			tag, err := tx.Exec(ctx, archiveProjectsSQL, id, t.ArchivedAt)
			if err != nil {
				return err
			}
			billing.Tally(notes, "projects", tag.RowsAffected())
			if err := endKeys(ctx, tx, billing.ScopeTeam, id, t.ArchivedAt, notes); err != nil {
				return err
			}
		}
		return note(ctx, tx, notes)
	})
	return t, taken(err, "team", t.Name)
}

// UpdateProject implements billing.Owners.
func (s *Store) UpdateProject(ctx context.Context, id string, change func(*billing.Project) error, notes ...*billing.Change) (
	p billing.Project, err error,
) {
	const byID = projectSQL + " WHERE p.id = $1"
	err = s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if p, err = one(ctx, tx, scanProject, byID, id); err != nil {
			return missing(err, "project", id)
		}
		was := p
		if err := change(&p); err != nil {
			return err
		}
		if p.TeamID != was.TeamID {
			if err := mustExist(ctx, tx, billing.ScopeTeam, p.TeamID); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, raiseSQL, billing.ScopeProject, id); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, updateProjectSQL, id, billing.CleanText(p.Name), p.TeamID, orNull(p.ArchivedAt), p.Policy,
			billing.CleanText(p.DataClass)); err != nil {
			return err
		}
		if was.ArchivedAt.IsZero() && !p.ArchivedAt.IsZero() {
			if err := endKeys(ctx, tx, billing.ScopeProject, id, p.ArchivedAt, notes); err != nil {
				return err
			}
		}
		if err := note(ctx, tx, notes); err != nil {
			return err
		}
		p, err = one(ctx, tx, scanProject, byID, id)
		return err
	})
	return p, taken(err, "project", p.Name)
}

// endKeys archives the keys below a scope, and adds the number of keys to notes.
func endKeys(ctx context.Context, tx pgx.Tx, scope billing.Scope, id string, at time.Time, notes []*billing.Change) error {
	tag, err := tx.Exec(ctx, archiveKeysSQL, scope, id, at, string(scope)+" archived")
	if err != nil {
		return err
	}
	billing.Tally(notes, "keys", tag.RowsAffected())
	copies, err := destroySecrets(ctx, tx, scope, id)
	billing.Tally(notes, "copies", copies)
	return err
}

// missing turns an error for a missing row into a *billing.NotFoundError.
func missing(err error, what, id string) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return &billing.NotFoundError{What: what, ID: id}
	}
	return err
}

// taken turns a unique violation into a *billing.ConflictError: the name is in use.
func taken(err error, what, name string) error {
	if code(err) == uniqueViolation {
		return &billing.ConflictError{Detail: fmt.Sprintf("there is another %s %q", what, name)}
	}
	return err
}
