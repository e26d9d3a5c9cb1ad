package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

const (
	addDestinationSQL   = "INSERT INTO audit_destinations (name) VALUES ($1) ON CONFLICT DO NOTHING"
	claimDestinationSQL = `
UPDATE audit_destinations SET claimed_by = $2, claimed_till = $4
 WHERE name = $1 AND (claimed_till IS NULL OR claimed_till <= $3 OR claimed_by = $2) AND (due_at IS NULL OR due_at <= $3)
RETURNING name, seq, due_at, failures, failure, sent_at, 0::bigint, NULL::timestamptz`
	auditAfterSQL = auditSQL + " WHERE seq > $1 ORDER BY seq LIMIT $2"
	deliveredSQL  = `
UPDATE audit_destinations
   SET seq = greatest(seq, $3), sent_at = $4, claimed_till = NULL, due_at = NULL, failures = 0, failure = ''
 WHERE name = $1 AND claimed_by = $2`
	undeliveredSQL = `
UPDATE audit_destinations SET failures = failures + 1, failure = $3, due_at = $4, claimed_till = NULL WHERE name = $1 AND claimed_by = $2`
	destinationsSQL = `
SELECT d.name, d.seq, d.due_at, d.failures, d.failure, d.sent_at, count(a.seq), min(a.changed_at)
  FROM audit_destinations d LEFT JOIN audit_log a ON a.seq > d.seq
 GROUP BY d.name ORDER BY d.name`
)

func scanDestination(row pgx.CollectableRow) (d billing.Destination, err error) {
	var due, sent, oldest *time.Time
	err = row.Scan(&d.Name, &d.Seq, &due, &d.Failures, &d.Failure, &sent, &d.Waiting, &oldest)
	d.DueAt, d.SentAt, d.Oldest = utc(due), utc(sent), utc(oldest)
	return d, err
}

// ClaimDestination implements billing.Destinations.
func (s *Store) ClaimDestination(ctx context.Context, name, router string, now, till time.Time) (
	d billing.Destination, claimed bool, err error,
) {
	err = s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, addDestinationSQL, name); err != nil {
			return err
		}
		d, err = one(ctx, tx, scanDestination, claimDestinationSQL, name, router, now, till)
		if claimed = err == nil; errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return d, claimed && err == nil, err
}

// AuditAfter implements billing.Destinations.
func (s *Store) AuditAfter(ctx context.Context, seq int64, most int) ([]billing.Change, error) {
	return all(ctx, s, scanChange, auditAfterSQL, seq, most)
}

// Delivered implements billing.Destinations.
func (s *Store) Delivered(ctx context.Context, name, router string, seq int64, at time.Time) (kept bool, err error) {
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		tag, err := c.Exec(ctx, deliveredSQL, name, router, seq, at)
		kept = tag.RowsAffected() == 1
		return err
	})
	return kept, err
}

// Undelivered implements billing.Destinations.
func (s *Store) Undelivered(ctx context.Context, name, router, failure string, due time.Time) error {
	return s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, undeliveredSQL, name, router, billing.CleanText(failure), due)
		return err
	})
}

// ListDestinations implements billing.Destinations.
func (s *Store) ListDestinations(ctx context.Context) ([]billing.Destination, error) {
	return all(ctx, s, scanDestination, destinationsSQL)
}
