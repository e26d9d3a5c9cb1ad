package sqlite

import (
	"context"

	"tallyroute/billing"
)

const (
	addIncident = `INSERT INTO incidents
  (id, key_id, action, reason, since, opened_at, opened_by, bundle, bundle_sha256, signature, public_key)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	closeIncident = `UPDATE incidents SET closed_at = ?2, closed_by = ?3, outcome = ?4 WHERE id = ?1 AND closed_at IS NULL`
	listIncidents = `SELECT id, key_id, action, reason, since, opened_at, opened_by, bundle, bundle_sha256, signature, public_key,
	  closed_at,
  coalesce(closed_by, ''), coalesce(outcome, '')
FROM incidents WHERE ?1 = '' OR id = ?1 ORDER BY opened_at DESC, id DESC LIMIT 1000`
)

// AddIncident implements billing.Incidents.
func (s *Store) AddIncident(ctx context.Context, i billing.Incident, notes ...*billing.Change) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		if err := wantScope(ctx, tx, billing.ScopeKey, string(i.KeyID)); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, addIncident, i.ID, string(i.KeyID), string(i.Action), billing.CleanText(i.Reason), stamp(i.Since),
			stamp(i.OpenedAt), billing.CleanText(i.OpenedBy), i.Bundle, i.SHA256, i.Signature, i.PublicKey); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

// CloseIncident implements billing.Incidents.
func (s *Store) CloseIncident(ctx context.Context, id string, end billing.Incident, notes ...*billing.Change) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		n, err := tx.exec(ctx, closeIncident, id, stamp(end.ClosedAt), billing.CleanText(end.ClosedBy), billing.CleanText(end.Outcome))
		if err != nil {
			return err
		}
		if n == 1 {
			return note(ctx, tx, notes)
		}
		var there int
		if _, err := tx.row(ctx, `SELECT count(*) FROM incidents WHERE id = ?`, []any{id}, &there); err != nil {
			return err
		}
		if there == 0 {
			return &billing.NotFoundError{What: "incident", ID: id}
		}
		return billing.IncidentClosed(id)
	})
}

// ListIncidents implements billing.Incidents.
func (s *Store) ListIncidents(ctx context.Context, id string) (list []billing.Incident, err error) {
	err = s.read.rows(ctx, listIncidents, []any{id}, func(scan scanner) error {
		var i billing.Incident
		err := scan(&i.ID, &i.KeyID, &i.Action, &i.Reason, instant{&i.Since}, instant{&i.OpenedAt}, &i.OpenedBy, &i.Bundle, &i.SHA256,
			&i.Signature, &i.PublicKey, instant{&i.ClosedAt}, &i.ClosedBy, &i.Outcome)
		list = append(list, i)
		return err
	})
	return list, err
}
