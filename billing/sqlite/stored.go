package sqlite

import (
	"context"
	"time"

	"tallyroute/billing"
)

const (
	storeResponse = `INSERT INTO stored_responses (id, key_id, temporary_id, previous_id, sealed, size, created_at, expires_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`
	responseTotals = `SELECT responses, size, (SELECT sum(size) FROM stored_response_totals) FROM stored_response_totals
WHERE key_id = ?`
	makeRoom = `DELETE FROM stored_responses WHERE id IN (
  SELECT id FROM (
    SELECT id, row_number() OVER newest AS n, sum(size) OVER newest AS total FROM stored_responses WHERE key_id = ?
    WINDOW newest AS (ORDER BY created_at DESC, id DESC)) kept
  WHERE n > ? OR total > ?)`
	responseColumns = `id, key_id, temporary_id, previous_id, created_at, expires_at, sealed`
	selectResponse  = `SELECT ` + responseColumns + ` FROM stored_responses WHERE key_id = ? AND id = ? AND expires_at > ?`
	// selectConversation stops as soon as the conversation is too long.
	selectConversation = `WITH RECURSIVE conversation ("of", before, depth, total) AS (
  SELECT id, previous_id, 1, size FROM stored_responses WHERE key_id = ?1 AND id = ?2 AND expires_at > ?3
  UNION ALL
  SELECT r.id, r.previous_id, c.depth + 1, c.total + r.size
    FROM conversation c JOIN stored_responses r ON r.id = c.before AND r.key_id = ?1 AND r.expires_at > ?3
   WHERE c.total <= ?4)
SELECT ` + responseColumns + ` FROM conversation JOIN stored_responses ON id = "of" ORDER BY depth DESC`
	deleteResponse  = `DELETE FROM stored_responses WHERE key_id = ? AND id = ? AND expires_at > ?`
	expireResponses = `DELETE FROM stored_responses WHERE id IN (
  SELECT id FROM stored_responses WHERE expires_at <= ? ORDER BY expires_at LIMIT 5000)`
	// selectResponsesAfter takes at least one, and as many as have the given number of bytes.
	selectResponsesAfter = `SELECT ` + responseColumns + ` FROM stored_responses WHERE id IN (
  SELECT id FROM (
    SELECT id, sum(size) OVER (ORDER BY id) - size AS before
      FROM (SELECT id, size FROM stored_responses WHERE id > ? ORDER BY id LIMIT 500))
   WHERE before < ?)
ORDER BY id`
	resealResponse = `UPDATE stored_responses SET sealed = ? WHERE id = ?`
)

// StoreResponse implements billing.StoredResponses.
func (s *Store) StoreResponse(ctx context.Context, r billing.StoredResponse, within billing.ResponseBounds) error {
	size := int64(len(r.Sealed))
	if size > min(within.KeyBytes, within.Bytes) || within.Responses < 1 {
		return billing.ErrResponsesFull
	}
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		if _, err := tx.exec(ctx, storeResponse, r.ID, string(r.KeyID), r.Temporary, r.Previous, r.Sealed, size, stamp(r.CreatedAt),
			stamp(r.ExpiresAt)); err != nil {
			return err
		}
		var own, ownSize, all int64
		read := func() error {
			_, err := tx.row(ctx, responseTotals, []any{string(r.KeyID)}, &own, &ownSize, &all)
			return err
		}
		if err := read(); err != nil {
			return err
		}
		if own > within.Responses || ownSize > within.KeyBytes {
			if _, err := tx.exec(ctx, makeRoom, string(r.KeyID), within.Responses, within.KeyBytes); err != nil {
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

func responseScan(r *billing.StoredResponse) []any {
	return []any{&r.ID, &r.KeyID, &r.Temporary, &r.Previous, instant{&r.CreatedAt}, instant{&r.ExpiresAt}, &r.Sealed}
}

func responsesOf(ctx context.Context, from *session, query string, args ...any) (list []billing.StoredResponse, err error) {
	err = from.rows(ctx, query, args, func(scan scanner) error {
		var r billing.StoredResponse
		if err := scan(responseScan(&r)...); err != nil {
			return err
		}
		list = append(list, r)
		return nil
	})
	return list, err
}

// Response implements billing.StoredResponses.
func (s *Store) Response(ctx context.Context, key billing.KeyID, id string, now time.Time) (r billing.StoredResponse, err error) {
	found, err := s.read.row(ctx, selectResponse, []any{string(key), id, stamp(now)}, responseScan(&r)...)
	if err == nil && !found {
		err = billing.ErrNoResponse
	}
	return r, err
}

// Conversation implements billing.StoredResponses.
func (s *Store) Conversation(ctx context.Context, key billing.KeyID, id string, most int64, now time.Time) (
	list []billing.StoredResponse, err error,
) {
	list, err = responsesOf(ctx, s.read, selectConversation, string(key), id, stamp(now), most)
	if err != nil {
		return nil, err
	}
	return list, billing.CheckConversation(list, most)
}

// DeleteResponse implements billing.StoredResponses.
func (s *Store) DeleteResponse(ctx context.Context, key billing.KeyID, id string, now time.Time) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		n, err := tx.exec(ctx, deleteResponse, string(key), id, stamp(now))
		if err == nil && n == 0 {
			err = billing.ErrNoResponse
		}
		return err
	})
}

// ExpireResponses implements billing.StoredResponses.
func (s *Store) ExpireResponses(ctx context.Context, now time.Time) (n int, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		gone, err := tx.exec(ctx, expireResponses, stamp(now))
		n = int(gone)
		return err
	})
	return n, err
}

// ResealResponses implements billing.StoredResponses.
func (s *Store) ResealResponses(
	ctx context.Context, after string, reseal func([]billing.StoredResponse) ([]billing.StoredResponse, error), notes ...*billing.Change,
) (last string, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		last = ""
		list, err := responsesOf(ctx, tx, selectResponsesAfter, after, billing.ResealBytes)
		if err != nil || len(list) == 0 {
			return err
		}
		last = list[len(list)-1].ID
		changed, err := reseal(list)
		if err != nil || len(changed) == 0 {
			return err
		}
		for _, r := range changed {
			if _, err := tx.exec(ctx, resealResponse, r.Sealed, r.ID); err != nil {
				return err
			}
		}
		return note(ctx, tx, notes)
	})
	return last, err
}
