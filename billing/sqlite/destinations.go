package sqlite

import (
	"context"
	"time"

	"tallyroute/billing"
)

const (
	addDestination   = `INSERT INTO audit_destinations (name) VALUES (?) ON CONFLICT DO NOTHING`
	claimDestination = `UPDATE audit_destinations SET claimed_by = ?2, claimed_till = ?4
WHERE name = ?1 AND (claimed_till IS NULL OR claimed_till <= ?3 OR claimed_by = ?2) AND (due_at IS NULL OR due_at <= ?3)
RETURNING name, seq, due_at, failures, failure, sent_at, 0, NULL`
	auditAfter = selectAudit + `WHERE seq > ? ORDER BY seq LIMIT ?`
	delivered  = `UPDATE audit_destinations
SET seq = max(seq, ?3), sent_at = ?4, claimed_till = NULL, due_at = NULL, failures = 0, failure = ''
WHERE name = ?1 AND claimed_by = ?2`
	undelivered = `UPDATE audit_destinations SET failures = failures + 1, failure = ?3, due_at = ?4, claimed_till = NULL
WHERE name = ?1 AND claimed_by = ?2`
	selectDestinations = `SELECT d.name, d.seq, d.due_at, d.failures, d.failure, d.sent_at, count(a.seq), min(a.changed_at)
FROM audit_destinations d LEFT JOIN audit_log a ON a.seq > d.seq
GROUP BY d.name ORDER BY d.name`
)

func destinationScan(d *billing.Destination) []any {
	return []any{
		&d.Name, &d.Seq, instant{&d.DueAt}, &d.Failures, &d.Failure, instant{&d.SentAt}, &d.Waiting, instant{&d.Oldest},
	}
}

// ClaimDestination implements billing.Destinations.
func (s *Store) ClaimDestination(ctx context.Context, name, router string, now, till time.Time) (
	d billing.Destination, claimed bool, err error,
) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		if _, err := tx.exec(ctx, addDestination, name); err != nil {
			return err
		}
		claimed, err = tx.row(ctx, claimDestination, []any{name, router, stamp(now), stamp(till)}, destinationScan(&d)...)
		return err
	})
	return d, claimed && err == nil, err
}

// AuditAfter implements billing.Destinations.
func (s *Store) AuditAfter(ctx context.Context, seq int64, most int) (list []billing.Change, err error) {
	err = s.read.rows(ctx, auditAfter, []any{seq, most}, func(scan scanner) error {
		c, err := scanChange(scan)
		list = append(list, c)
		return err
	})
	return list, err
}

// Delivered implements billing.Destinations.
func (s *Store) Delivered(ctx context.Context, name, router string, seq int64, at time.Time) (kept bool, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		n, err := tx.exec(ctx, delivered, name, router, seq, stamp(at))
		kept = n == 1
		return err
	})
	return kept, err
}

// Undelivered implements billing.Destinations.
func (s *Store) Undelivered(ctx context.Context, name, router, failure string, due time.Time) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		_, err := tx.exec(ctx, undelivered, name, router, billing.CleanText(failure), stamp(due))
		return err
	})
}

// ListDestinations implements billing.Destinations.
func (s *Store) ListDestinations(ctx context.Context) (list []billing.Destination, err error) {
	err = s.read.rows(ctx, selectDestinations, nil, func(scan scanner) error {
		var d billing.Destination
		err := scan(destinationScan(&d)...)
		list = append(list, d)
		return err
	})
	return list, err
}
