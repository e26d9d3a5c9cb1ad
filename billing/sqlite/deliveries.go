package sqlite

import (
	"context"
	"time"

	"tallyroute/billing"
)

const (
	setDelivery = `INSERT INTO key_sinks (key_id, sink, place, overlap_s) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (key_id) DO UPDATE SET sink = ?2, place = ?3, overlap_s = ?4, removing = 0, due_at = NULL, failures = 0, failure = '',
  delivered_at = NULL`
	deliveryColumns = `key_id, sink, place, overlap_s, removing, coalesce(seed, ''), due_at, failures, failure, delivered_at`
	// endDelivery lacks its WHERE clause, which the caller adds to select the keys.
	endDelivery    = `UPDATE key_sinks SET removing = 1, seed = NULL, due_at = NULL, claimed_till = NULL, failures = 0, failure = ''`
	listDeliveries = `SELECT ` + deliveryColumns + ` FROM key_sinks WHERE (?1 = '' OR key_id = ?1) ORDER BY key_id LIMIT 1000`
	// rotationDue is the time at which key k is due for a new secret, in seconds since 1970.
	rotationDue = `unixepoch(k.rotated_at) + CASE
  WHEN k.rotate_every_s > 0 THEN k.rotate_every_s WHEN k.sensitivity = 'critical' THEN 604800
  WHEN k.sensitivity = 'high' THEN 2592000 WHEN k.sensitivity = 'low' THEN 15552000 ELSE 7776000 END`
	// claimDelivery takes a delivery that is to be deleted, was begun, has never been made, or
	// whose key is due for a new secret.
	claimDelivery = `UPDATE key_sinks SET claimed_till = ?2, seed = CASE WHEN removing THEN NULL ELSE coalesce(seed, ?3) END
WHERE key_id = (
  SELECT s.key_id FROM key_sinks s JOIN api_keys k ON k.id = s.key_id
   WHERE (s.claimed_till IS NULL OR s.claimed_till <= ?1) AND (s.due_at IS NULL OR s.due_at <= ?1)
     AND (s.removing OR (k.revoked_at IS NULL AND k.disabled_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > ?1)
          AND (s.seed IS NOT NULL OR s.delivered_at IS NULL OR ` + rotationDue + ` <= unixepoch(?1))))
   ORDER BY s.due_at, s.key_id LIMIT 1)
RETURNING ` + deliveryColumns
	// finishDelivery marks the delivery as done unless a newer version was made in the meantime.
	finishDelivery = `UPDATE key_sinks SET seed = NULL, claimed_till = NULL, due_at = NULL, failures = 0, failure = '',
  delivered_at = CASE WHEN EXISTS (SELECT 1 FROM api_key_secrets v WHERE v.key_id = ?1 AND v.version > ?2) THEN NULL ELSE ?3 END
WHERE key_id = ?1 AND NOT removing RETURNING delivered_at IS NOT NULL`
	endOlder = `UPDATE api_key_secrets SET valid_until = ?3
WHERE key_id = ?1 AND version < ?2 AND (valid_until IS NULL OR valid_until > ?3)`
	postpone  = `UPDATE key_sinks SET claimed_till = NULL, due_at = ?2, failures = failures + 1, failure = ?3 WHERE key_id = ?1`
	forget    = `DELETE FROM key_sinks WHERE key_id = ? AND removing`
	redeliver = `UPDATE key_sinks SET delivered_at = NULL WHERE key_id = ?`
)

// SetDelivery implements billing.Deliveries.
func (s *Store) SetDelivery(ctx context.Context, d billing.Delivery, notes ...*billing.Change) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		if err := wantScope(ctx, tx, billing.ScopeKey, string(d.KeyID)); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, setDelivery, string(d.KeyID), billing.CleanText(d.Sink), billing.CleanText(d.Place),
			int64(d.Overlap/time.Second)); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

// EndDelivery implements billing.Deliveries.
func (s *Store) EndDelivery(ctx context.Context, id billing.KeyID, notes ...*billing.Change) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		n, err := tx.exec(ctx, endDelivery+` WHERE key_id = ?`, string(id))
		if err == nil && n == 0 {
			err = &billing.NotFoundError{What: "sink", ID: string(id)}
		}
		if err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

func deliveryScan(d *billing.Delivery) []any {
	return []any{
		&d.KeyID, &d.Sink, &d.Place,
		seconds{&d.Overlap},
		&d.Removing, &d.Seed,
		instant{&d.DueAt},
		&d.Failures, &d.Failure,
		instant{&d.DeliveredAt},
	}
}

// ListDeliveries implements billing.Deliveries.
func (s *Store) ListDeliveries(ctx context.Context, id billing.KeyID) (all []billing.Delivery, err error) {
	err = s.read.rows(ctx, listDeliveries, []any{string(id)}, func(scan scanner) error {
		var d billing.Delivery
		err := scan(deliveryScan(&d)...)
		all = append(all, d)
		return err
	})
	return all, err
}

// ClaimDelivery implements billing.Deliveries.
func (s *Store) ClaimDelivery(ctx context.Context, now, until time.Time, seed string) (d billing.Delivery, found bool, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		found, err = tx.row(ctx, claimDelivery, []any{stamp(now), stamp(until), seed}, deliveryScan(&d)...)
		return err
	})
	return d, found, err
}

// FinishDelivery implements billing.Deliveries.
func (s *Store) FinishDelivery(ctx context.Context, number int, r billing.Rotation, notes ...*billing.Change) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		var newest bool
		found, err := tx.row(ctx, finishDelivery, []any{string(r.KeyID), number, stamp(r.Now)}, &newest)
		if err != nil || !found || !newest {
			return err // the delivery is gone or being removed, or the key has a newer secret
		}
		if _, err := tx.exec(ctx, endOlder, string(r.KeyID), number, stamp(r.Until)); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, setRotated, r.Display, stamp(r.Now), string(r.KeyID)); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

// PostponeDelivery implements billing.Deliveries.
func (s *Store) PostponeDelivery(ctx context.Context, id billing.KeyID, failure string, due time.Time) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		_, err := tx.exec(ctx, postpone, string(id), stamp(due), billing.CleanText(failure))
		return err
	})
}

// ForgetDelivery implements billing.Deliveries.
func (s *Store) ForgetDelivery(ctx context.Context, id billing.KeyID, notes ...*billing.Change) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		if _, err := tx.exec(ctx, forget, string(id)); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}
