package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

const (
	openReviewSQL = `
INSERT INTO leaver_reviews (id, key_id, principal_id, cause, opened_at, due_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (key_id) WHERE outcome = 'open' DO NOTHING`
	closeReviewSQL = "UPDATE leaver_reviews SET outcome = $2, closed_at = $3, closed_by = $4 WHERE id = $1 AND outcome = 'open'"
	hasReviewSQL   = "SELECT count(*) FROM leaver_reviews WHERE id = $1"
	reviewsSQL     = `
SELECT r.id, r.key_id, r.principal_id, r.cause, r.opened_at, r.due_at, r.outcome, r.closed_at, r.closed_by,
       k.name, o.name, t.id, t.name, p.id
  FROM leaver_reviews r JOIN principals o ON o.id = r.principal_id JOIN api_keys k ON k.id = r.key_id
  JOIN projects p ON p.id = k.project_id JOIN teams t ON t.id = p.team_id
 WHERE ($1 = '' OR r.id = $1) AND ($2 = '' OR r.principal_id = $2) AND ($3 = '' OR r.outcome = $3)
   AND ($4 OR t.id = ANY ($5) OR p.id = ANY ($6)) AND ($7 = '' OR r.id < $7)
 ORDER BY r.id DESC LIMIT $8`
)

var errAlready = errors.New("billing/postgres: it was done before")

// OpenLeaverReview implements billing.Leavers.
func (s *Store) OpenLeaverReview(ctx context.Context, r billing.LeaverReview, notes ...*billing.Change) (opened bool, err error) {
	return s.unlessDone(ctx, notes, openReviewSQL, r.ID, r.KeyID, r.PrincipalID, billing.CleanText(r.Cause), r.OpenedAt, r.DueAt)
}

// unlessDone runs a statement and records the change, unless the statement affects no row.
func (s *Store) unlessDone(ctx context.Context, notes []*billing.Change, sql string, args ...any) (done bool, err error) {
	err = s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sql, args...)
		if err == nil && tag.RowsAffected() == 0 {
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
	if closed, err = s.unlessDone(ctx, notes, closeReviewSQL, id, outcome, at, billing.CleanText(by)); closed || err != nil {
		return closed, err
	}
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		n, err := one(ctx, c, pgx.RowTo[int64], hasReviewSQL, id)
		if err == nil && n == 0 {
			err = &billing.NotFoundError{What: "review", ID: id}
		}
		return err
	})
	return false, err
}

// ListLeaverReviews implements billing.Leavers.
func (s *Store) ListLeaverReviews(ctx context.Context, f billing.ReviewFilter) ([]billing.LeaverReview, error) {
	everywhere, teams, projects := within(f.Within)
	return all(ctx, s, func(row pgx.CollectableRow) (r billing.LeaverReview, err error) {
		var closed *time.Time
		err = row.Scan(&r.ID, &r.KeyID, &r.PrincipalID, &r.Cause, &r.OpenedAt, &r.DueAt, &r.Outcome, &closed, &r.ClosedBy, &r.KeyName,
			&r.Principal, &r.TeamID, &r.Team, &r.ProjectID)
		r.OpenedAt, r.DueAt, r.ClosedAt = r.OpenedAt.UTC(), r.DueAt.UTC(), utc(closed)
		return r, err
	}, reviewsSQL, billing.CleanText(f.ID), billing.CleanText(f.PrincipalID), f.Outcome, everywhere, teams, projects,
		billing.CleanText(f.Before), f.Most())
}
