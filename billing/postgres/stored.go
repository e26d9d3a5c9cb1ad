package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

// responsesLock is held while a response is stored when there is little room left.
const responsesLock = 0x7461_6c6c_7972_0005

const (
	storeResponseSQL = `
INSERT INTO stored_responses (id, key_id, temporary_id, previous_id, sealed, size, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING`

	responseTotalsSQL = `SELECT responses, size, (SELECT sum(size)::bigint FROM stored_response_totals)
  FROM stored_response_totals WHERE key_id = $1`

	// makeRoomSQL skips responses that another transaction is deleting.
	makeRoomSQL = `
DELETE FROM stored_responses WHERE id IN (
  SELECT id FROM stored_responses WHERE id IN (
    SELECT id FROM (
      SELECT id, row_number() OVER newest AS n, sum(size) OVER newest AS total FROM stored_responses WHERE key_id = $1
      WINDOW newest AS (ORDER BY created_at DESC, id DESC)) kept
     WHERE n > $2 OR total > $3)
  FOR UPDATE SKIP LOCKED)`

	responseColumns = `id, key_id, temporary_id, previous_id, created_at, expires_at, sealed`

	responseSQL = `SELECT ` + responseColumns + ` FROM stored_responses WHERE key_id = $1 AND id = $2 AND expires_at > $3`

	conversationSQL = `
WITH RECURSIVE conversation (of, before, depth, total) AS (
  SELECT id, previous_id, 1, size FROM stored_responses WHERE key_id = $1 AND id = $2 AND expires_at > $3
  UNION ALL
  SELECT r.id, r.previous_id, c.depth + 1, c.total + r.size
    FROM conversation c JOIN stored_responses r ON r.id = c.before AND r.key_id = $1 AND r.expires_at > $3
   WHERE c.total <= $4)
SELECT ` + responseColumns + ` FROM conversation JOIN stored_responses ON id = of ORDER BY depth DESC`

	deleteResponseSQL = `DELETE FROM stored_responses WHERE key_id = $1 AND id = $2 AND expires_at > $3`

	expireResponsesSQL = `
DELETE FROM stored_responses WHERE id IN (
  SELECT id FROM stored_responses WHERE expires_at <= $1 ORDER BY expires_at LIMIT 5000 FOR UPDATE SKIP LOCKED)`

	// responsesAfterSQL takes at least one, and as many as have the given number of bytes.
	responsesAfterSQL = `
SELECT ` + responseColumns + ` FROM stored_responses WHERE id IN (
  SELECT id FROM (
    SELECT id, sum(size) OVER (ORDER BY id) - size AS before
      FROM (SELECT id, size FROM stored_responses WHERE id > $1 ORDER BY id LIMIT 500) next_ones) sized
   WHERE before < $2)
 ORDER BY id FOR UPDATE`

	resealResponseSQL = `UPDATE stored_responses SET sealed = $2 WHERE id = $1`
)

// StoreResponse implements billing.StoredResponses.
func (s *Store) StoreResponse(ctx context.Context, r billing.StoredResponse, within billing.ResponseBounds) error {
	size := int64(len(r.Sealed))
	if size > min(within.KeyBytes, within.Bytes) || within.Responses < 1 {
		return billing.ErrResponsesFull
	}
	return s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, storeResponseSQL, r.ID, r.KeyID, r.Temporary, r.Previous, r.Sealed, size, r.CreatedAt, r.ExpiresAt)
		if err != nil {
			return err
		}
		var own, ownSize, all int64
		read := func() error { return tx.QueryRow(ctx, responseTotalsSQL, r.KeyID).Scan(&own, &ownSize, &all) }
		if err := read(); err != nil {
			return err
		}
		if own > within.Responses || ownSize > within.KeyBytes {
			if _, err := tx.Exec(ctx, makeRoomSQL, r.KeyID, within.Responses, within.KeyBytes); err != nil {
				return err
			}
			if err := read(); err != nil {
				return err
			}
		}
		if all > within.Bytes/4*3 { // take turns, so that writers cannot exceed the limit together
			if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(responsesLock)); err != nil {
				return err
			}
			if err := read(); err != nil {
				return err
			}
		}
		if all > within.Bytes {
			return billing.ErrResponsesFull
		}
		return nil
	})
}

// Response implements billing.StoredResponses.
func (s *Store) Response(ctx context.Context, key billing.KeyID, id string, now time.Time) (r billing.StoredResponse, err error) {
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		r, err = one(ctx, c, scanResponse, responseSQL, key, id, now)
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		err = billing.ErrNoResponse
	}
	return r, err
}

func scanResponse(row pgx.CollectableRow) (r billing.StoredResponse, err error) {
	err = row.Scan(&r.ID, &r.KeyID, &r.Temporary, &r.Previous, &r.CreatedAt, &r.ExpiresAt, &r.Sealed)
	return r, err
}

// Conversation implements billing.StoredResponses.
func (s *Store) Conversation(ctx context.Context, key billing.KeyID, id string, most int64, now time.Time) (
	list []billing.StoredResponse, err error,
) {
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		rows, err := c.Query(ctx, conversationSQL, key, id, now, most)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, scanResponse)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, billing.CheckConversation(list, most)
}

// DeleteResponse implements billing.StoredResponses.
func (s *Store) DeleteResponse(ctx context.Context, key billing.KeyID, id string, now time.Time) error {
	return s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		tag, err := c.Exec(ctx, deleteResponseSQL, key, id, now)
		if err == nil && tag.RowsAffected() == 0 {
			err = billing.ErrNoResponse
		}
		return err
	})
}

// ExpireResponses implements billing.StoredResponses.
func (s *Store) ExpireResponses(ctx context.Context, now time.Time) (n int, err error) {
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		tag, err := c.Exec(ctx, expireResponsesSQL, now)
		n = int(tag.RowsAffected())
		return err
	})
	return n, err
}

// ResealResponses implements billing.StoredResponses.
func (s *Store) ResealResponses(
	ctx context.Context, after string, reseal func([]billing.StoredResponse) ([]billing.StoredResponse, error), notes ...*billing.Change,
) (last string, err error) {
	err = s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		last = ""
		rows, err := tx.Query(ctx, responsesAfterSQL, after, billing.ResealBytes)
		if err != nil {
			return err
		}
		list, err := pgx.CollectRows(rows, scanResponse)
		if err != nil || len(list) == 0 {
			return err
		}
		last = list[len(list)-1].ID
		changed, err := reseal(list)
		if err != nil || len(changed) == 0 {
			return err
		}
		var batch pgx.Batch
		for _, r := range changed {
			batch.Queue(resealResponseSQL, r.ID, r.Sealed)
		}
		if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
	return last, err
}
