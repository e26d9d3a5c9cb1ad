package sqlite

import (
	"context"
	"fmt"
	"time"

	"tallyroute/billing"
)

const (
	whereTeam     = `SELECT id, name, cost_center, owner_email, created_at, archived_at FROM teams WHERE id = ?`
	whereProject  = `WHERE p.id = ?`
	teamNamed     = `SELECT count(*) FROM teams WHERE name = ? AND id <> ? AND archived_at IS NULL`
	projectNamed  = `SELECT count(*) FROM projects WHERE team_id = ? AND name = ? AND id <> ? AND archived_at IS NULL`
	updateTeam    = `UPDATE teams SET name = ?, cost_center = ?, owner_email = ?, archived_at = ? WHERE id = ?`
	updateProject = `UPDATE projects SET name = ?, team_id = ?, archived_at = ? WHERE id = ?`
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
		found, err := tx.row(ctx, whereTeam, []any{id}, &t.ID, &t.Name, &t.CostCenter, &t.OwnerEmail, instant{&t.CreatedAt},
			instant{&t.ArchivedAt})
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
			stampOrNull(t.ArchivedAt), id); err != nil {
			return err
		}
		if was.ArchivedAt.IsZero() && !t.ArchivedAt.IsZero() {
			if _, err := tx.exec(ctx, archiveBelow, stamp(t.ArchivedAt), id); err != nil {
				return err
			}
			if err := endKeys(ctx, tx, billing.ScopeTeam, id, t.ArchivedAt); err != nil {
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
		if _, err := tx.exec(ctx, updateProject, billing.CleanText(p.Name), p.TeamID, stampOrNull(p.ArchivedAt), id); err != nil {
			return err
		}
		if was.ArchivedAt.IsZero() && !p.ArchivedAt.IsZero() {
			if err := endKeys(ctx, tx, billing.ScopeProject, id, p.ArchivedAt); err != nil {
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

// wantFree is a *billing.ConflictError where another one has the name.
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

// endKeys archives the keys below a scope.
func endKeys(ctx context.Context, tx *session, scope billing.Scope, id string, at time.Time) error {
	of := map[billing.Scope]string{billing.ScopeProject: ofProject, billing.ScopeTeam: ofTeam}[scope]
	if _, err := tx.exec(ctx, archiveKeysOf+of, id, stamp(at), string(scope)+" archived"); err != nil {
		return err
	}
	return destroySecrets(ctx, tx, scope, id)
}
