package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

const (
	setDeliverySQL = `
INSERT INTO key_sinks (key_id, sink, place, overlap_s) VALUES ($1, $2, $3, $4)
ON CONFLICT (key_id) DO UPDATE SET sink = $2, place = $3, overlap_s = $4, removing = false, due_at = NULL, failures = 0, failure = '',
  delivered_at = NULL`
	deliveryColumns = `key_id, sink, place, overlap_s, removing, coalesce(seed, ''), due_at, failures, failure, delivered_at`
	// endDeliverySQL is completed with a condition on key_id.
	endDeliverySQL = `
UPDATE key_sinks SET removing = true, seed = NULL, due_at = NULL, claimed_till = NULL, failures = 0, failure = '' WHERE key_id `
	listDeliveriesSQL = "SELECT " + deliveryColumns + " FROM key_sinks WHERE ($1 = '' OR key_id = $1) ORDER BY key_id LIMIT 1000"
	// rotationDueSQL is the time at which key k is due for a new secret.
	rotationDueSQL = `k.rotated_at + interval '1 second' * CASE
    WHEN k.rotate_every_s > 0 THEN k.rotate_every_s WHEN k.sensitivity = 'critical' THEN 604800
    WHEN k.sensitivity = 'high' THEN 2592000 WHEN k.sensitivity = 'low' THEN 15552000 ELSE 7776000 END`
	// claimDeliverySQL claims the next delivery that is to be removed, was started but not
	// finished, was never made, or whose key is due for a new secret.
	claimDeliverySQL = `
UPDATE key_sinks SET claimed_till = $2, seed = CASE WHEN removing THEN NULL ELSE coalesce(seed, $3) END
 WHERE key_id = (
   SELECT s.key_id FROM key_sinks s JOIN api_keys k ON k.id = s.key_id
    WHERE (s.claimed_till IS NULL OR s.claimed_till <= $1) AND (s.due_at IS NULL OR s.due_at <= $1)
      AND (s.removing OR (k.revoked_at IS NULL AND k.disabled_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $1)
           AND (s.seed IS NOT NULL OR s.delivered_at IS NULL OR ` + rotationDueSQL + ` <= $1)))
    ORDER BY s.due_at NULLS FIRST, s.key_id LIMIT 1 FOR UPDATE OF s SKIP LOCKED)
RETURNING ` + deliveryColumns
	// finishDeliverySQL marks the delivery as done, unless a newer version of the secret
	// was created in the meantime.
	finishDeliverySQL = `
UPDATE key_sinks SET seed = NULL, claimed_till = NULL, due_at = NULL, failures = 0, failure = '',
  delivered_at = CASE WHEN EXISTS (SELECT FROM api_key_secrets v WHERE v.key_id = $1 AND v.version > $2) THEN NULL ELSE $3::timestamptz END
 WHERE key_id = $1 AND NOT removing RETURNING delivered_at IS NOT NULL`
	endOlderSQL = `
UPDATE api_key_secrets SET valid_until = least(valid_until, $3)
 WHERE key_id = $1 AND version < $2 AND (valid_until IS NULL OR valid_until > $3)`
	postponeSQL       = "UPDATE key_sinks SET claimed_till = NULL, due_at = $2, failures = failures + 1, failure = $3 WHERE key_id = $1"
	forgetDeliverySQL = "DELETE FROM key_sinks WHERE key_id = $1 AND removing"
	redeliverSQL      = "UPDATE key_sinks SET delivered_at = NULL WHERE key_id = $1"
)

// SetDelivery implements billing.Deliveries.
func (s *Store) SetDelivery(ctx context.Context, d billing.Delivery, notes ...*billing.Change) error {
	return s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := mustExist(ctx, tx, billing.ScopeKey, string(d.KeyID)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, setDeliverySQL, d.KeyID, billing.CleanText(d.Sink), billing.CleanText(d.Place), int64(d.Overlap/time.Second))
		return errors.Join(err, note(ctx, tx, notes))
	})
}

// EndDelivery implements billing.Deliveries.
func (s *Store) EndDelivery(ctx context.Context, id billing.KeyID, notes ...*billing.Change) error {
	return s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, endDeliverySQL+"= $1", id)
		if err == nil && tag.RowsAffected() == 0 {
			err = &billing.NotFoundError{What: "sink", ID: string(id)}
		}
		if err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

func scanDelivery(row pgx.CollectableRow) (d billing.Delivery, err error) {
	var due, delivered *time.Time
	var overlap int64
	err = row.Scan(&d.KeyID, &d.Sink, &d.Place, &overlap, &d.Removing, &d.Seed, &due, &d.Failures, &d.Failure, &delivered)
	d.Overlap, d.DueAt, d.DeliveredAt = time.Duration(overlap)*time.Second, utc(due), utc(delivered)
	return d, err
}

// ListDeliveries implements billing.Deliveries.
func (s *Store) ListDeliveries(ctx context.Context, id billing.KeyID) ([]billing.Delivery, error) {
	return all(ctx, s, scanDelivery, listDeliveriesSQL, string(id))
}

// ClaimDelivery implements billing.Deliveries.
func (s *Store) ClaimDelivery(ctx context.Context, now, until time.Time, seed string) (d billing.Delivery, found bool, err error) {
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		d, err = one(ctx, c, scanDelivery, claimDeliverySQL, now, until, seed)
		found = err == nil
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return d, found, err
}

// FinishDelivery implements billing.Deliveries.
func (s *Store) FinishDelivery(ctx context.Context, number int, r billing.Rotation, notes ...*billing.Change) error {
	return s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var newest bool
		err := tx.QueryRow(ctx, finishDeliverySQL, r.KeyID, number, r.Now).Scan(&newest)
		if errors.Is(err, pgx.ErrNoRows) || (err == nil && !newest) {
			return nil // the delivery is being removed, or the key has a newer secret
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, endOlderSQL, r.KeyID, number, r.Until); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, rotatedSQL, r.KeyID, r.Display, r.Now)
		return errors.Join(err, note(ctx, tx, notes))
	})
}

// PostponeDelivery implements billing.Deliveries.
func (s *Store) PostponeDelivery(ctx context.Context, id billing.KeyID, failure string, due time.Time) error {
	return s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, postponeSQL, id, due, billing.CleanText(failure))
		return err
	})
}

// ForgetDelivery implements billing.Deliveries.
func (s *Store) ForgetDelivery(ctx context.Context, id billing.KeyID, notes ...*billing.Change) error {
	return s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, forgetDeliverySQL, id)
		return errors.Join(err, note(ctx, tx, notes))
	})
}
