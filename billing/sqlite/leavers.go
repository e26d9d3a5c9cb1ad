package sqlite

import (
	"context"
	"errors"
	"time"

	"tallyroute/billing"
)

const (
	openReview = `INSERT INTO leaver_reviews (id, key_id, principal_id, cause, opened_at, due_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (key_id) WHERE outcome = 'open' DO NOTHING`
	closeReview   = `UPDATE leaver_reviews SET outcome = ?2, closed_at = ?3, closed_by = ?4 WHERE id = ?1 AND outcome = 'open'`
	hasReview     = `SELECT count(*) FROM leaver_reviews WHERE id = ?`
	selectReviews = `SELECT r.id, r.key_id, r.principal_id, r.cause, r.opened_at, r.due_at, r.outcome, r.closed_at, r.closed_by,
  k.name, o.name, t.id, t.name, p.id
FROM leaver_reviews r JOIN principals o ON o.id = r.principal_id JOIN api_keys k ON k.id = r.key_id
JOIN projects p ON p.id = k.project_id JOIN teams t ON t.id = p.team_id
WHERE (?1 = '' OR r.id = ?1) AND (?2 = '' OR r.principal_id = ?2) AND (?3 = '' OR r.outcome = ?3)
  AND (?4 IS NULL OR t.id IN (SELECT value FROM json_each(?4)) OR p.id IN (SELECT value FROM json_each(?4))) AND (?5 = '' OR r.id < ?5)
ORDER BY r.id DESC LIMIT ?6`
)

var errAlready = errors.New("billing/sqlite: it was done before")

// OpenLeaverReview implements billing.Leavers.
func (s *Store) OpenLeaverReview(ctx context.Context, r billing.LeaverReview, notes ...*billing.Change) (opened bool, err error) {
	return s.unlessDone(ctx, notes, openReview, r.ID, string(r.KeyID), r.PrincipalID, billing.CleanText(r.Cause), stamp(r.OpenedAt),
		stamp(r.DueAt))
}

// unlessDone runs a statement and, if it changed a row, notes the change. It reports whether it
// did.
func (s *Store) unlessDone(ctx context.Context, notes []*billing.Change, query string, args ...any) (done bool, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		n, err := tx.exec(ctx, query, args...)
		if err == nil && n == 0 {
			err = errAlready
		}
		if err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
	if errors.Is(err, errAlready) {
		return false, nil
	}
	return err == nil, err
}

// CloseLeaverReview implements billing.Leavers.
func (s *Store) CloseLeaverReview(
	ctx context.Context, id string, outcome billing.ReviewOutcome, at time.Time, by string, notes ...*billing.Change,
) (closed bool, err error) {
	closed, err = s.unlessDone(ctx, notes, closeReview, id, string(outcome), stamp(at), billing.CleanText(by))
	if closed || err != nil {
		return closed, err
	}
	var n int
	if _, err = s.read.row(ctx, hasReview, []any{id}, &n); err == nil && n == 0 {
		err = &billing.NotFoundError{What: "review", ID: id}
	}
	return false, err
}

// ListLeaverReviews implements billing.Leavers.
func (s *Store) ListLeaverReviews(ctx context.Context, f billing.ReviewFilter) (list []billing.LeaverReview, err error) {
	args := []any{f.ID, f.PrincipalID, string(f.Outcome), within(f.Within), f.Before, f.Most()}
	err = s.read.rows(ctx, selectReviews, args, func(scan scanner) error {
		var r billing.LeaverReview
		err := scan(&r.ID, &r.KeyID, &r.PrincipalID, &r.Cause, instant{&r.OpenedAt}, instant{&r.DueAt}, &r.Outcome, instant{&r.ClosedAt},
			&r.ClosedBy, &r.KeyName, &r.Principal, &r.TeamID, &r.Team, &r.ProjectID)
		list = append(list, r)
		return err
	})
	return list, err
}
