package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

const (
	addIncidentSQL = `
INSERT INTO incidents (id, key_id, action, reason, since, opened_at, opened_by, bundle, bundle_sha256, signature, public_key)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`
	closeIncidentSQL = `
UPDATE incidents SET closed_at = $2, closed_by = $3, outcome = $4 WHERE id = $1 AND closed_at IS NULL`
	listIncidentsSQL = `
SELECT id, key_id, action, reason, since, opened_at, opened_by, bundle, bundle_sha256, signature, public_key, closed_at,
       coalesce(closed_by, ''), coalesce(outcome, '')
  FROM incidents WHERE $1 = '' OR id = $1 ORDER BY opened_at DESC, id DESC LIMIT 1000`
)

// AddIncident implements billing.Incidents.
func (s *Store) AddIncident(ctx context.Context, i billing.Incident, notes ...*billing.Change) error {
	return s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := mustExist(ctx, tx, billing.ScopeKey, string(i.KeyID)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, addIncidentSQL, i.ID, i.KeyID, i.Action, billing.CleanText(i.Reason), i.Since, i.OpenedAt,
			billing.CleanText(i.OpenedBy), i.Bundle, i.SHA256, i.Signature, i.PublicKey)
		return errors.Join(err, note(ctx, tx, notes))
	})
}

// CloseIncident implements billing.Incidents.
func (s *Store) CloseIncident(ctx context.Context, id string, end billing.Incident, notes ...*billing.Change) error {
	return s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, closeIncidentSQL, id, end.ClosedAt, billing.CleanText(end.ClosedBy), billing.CleanText(end.Outcome))
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 1 {
			return note(ctx, tx, notes)
		}
		var there bool
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM incidents WHERE id = $1)", id).Scan(&there); err != nil {
			return err
		}
		if !there {
			return &billing.NotFoundError{What: "incident", ID: id}
		}
		return billing.IncidentClosed(id)
	})
}

// ListIncidents implements billing.Incidents.
func (s *Store) ListIncidents(ctx context.Context, id string) ([]billing.Incident, error) {
	return all(ctx, s, func(row pgx.CollectableRow) (i billing.Incident, err error) {
		var closed *time.Time
		err = row.Scan(&i.ID, &i.KeyID, &i.Action, &i.Reason, &i.Since, &i.OpenedAt, &i.OpenedBy, &i.Bundle, &i.SHA256, &i.Signature,
			&i.PublicKey, &closed, &i.ClosedBy, &i.Outcome)
		i.Since, i.OpenedAt, i.ClosedAt = i.Since.UTC(), i.OpenedAt.UTC(), utc(closed)
		return i, err
	}, listIncidentsSQL, id)
}
