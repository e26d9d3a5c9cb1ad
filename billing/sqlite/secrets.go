package sqlite

import (
	"context"
	"fmt"
	"time"

	"tallyroute/billing"
)

const selectSecrets = `SELECT version, display, created_at, valid_until, coalesce(quiet_s, 0), last_used_at, usage
FROM api_key_secrets WHERE key_id = ? ORDER BY version DESC`

// ListSecrets implements billing.Secrets.
func (s *Store) ListSecrets(ctx context.Context, id billing.KeyID) (all []billing.SecretVersion, err error) {
	err = s.read.rows(ctx, selectSecrets, []any{string(id)}, func(scan scanner) error {
		var v billing.SecretVersion
		var usage string
		err := scan(&v.Number, &v.Display, instant{&v.CreatedAt}, instant{&v.ValidUntil}, seconds{&v.Quiet}, instant{&v.LastUsedAt}, &usage)
		v.Use = billing.ParseVersionUse(usage)
		all = append(all, v)
		return err
	})
	return all, err
}

//nolint:gosec // statements about secrets, not secrets
const (
	findRotation = `SELECT version FROM api_key_secrets WHERE key_id = ? AND once = ?`
	goodSecrets  = `SELECT count(*) FROM api_key_secrets WHERE key_id = ? AND (valid_until IS NULL OR valid_until > ?)`
	// endSecrets makes every valid secret end at ?3 or, if that is null, once it has not been
	// used for ?4 seconds. An earlier end that was set before stays.
	endSecrets = `UPDATE api_key_secrets SET
  valid_until = CASE WHEN ?3 IS NULL THEN valid_until ELSE min(coalesce(valid_until, ?3), ?3) END,
  quiet_s = CASE WHEN ?3 IS NULL AND valid_until IS NULL THEN min(coalesce(quiet_s, ?4), ?4) ELSE quiet_s END,
  last_used_at = CASE WHEN ?3 IS NULL THEN coalesce(last_used_at, ?2) ELSE last_used_at END
WHERE key_id = ?1 AND (valid_until IS NULL OR valid_until > ?2)`
	addSecret = `INSERT INTO api_key_secrets (key_id, version, secret_hash, display, created_at, once)
SELECT ?1, coalesce(max(version), 0) + 1, ?2, ?3, ?4, nullif(?5, '') FROM api_key_secrets WHERE key_id = ?1
RETURNING version`
	setRotated = `UPDATE api_keys SET display = ?, rotated_at = ?, version = version + 1 WHERE id = ?`
)

// RotateSecret implements billing.Secrets.
func (s *Store) RotateSecret(ctx context.Context, r billing.Rotation, notes ...*billing.Change) (done billing.Rotated, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		done, err = rotate(ctx, tx, r, notes)
		return err
	})
	return done, err
}

func rotate(ctx context.Context, tx *session, r billing.Rotation, notes []*billing.Change) (done billing.Rotated, err error) {
	id := string(r.KeyID)
	k, found, err := oneKey(ctx, tx, id)
	if err == nil && !found {
		err = &billing.NotFoundError{What: "key", ID: id}
	}
	if done.Key = k; err != nil {
		return done, err
	}
	if r.Once != "" {
		if done.Existed, err = tx.row(ctx, findRotation, []any{id, r.Once}, &done.Number); err != nil || done.Existed {
			return done, err
		}
	}
	var good int
	if _, err := tx.row(ctx, goodSecrets, []any{id, stamp(r.Now)}, &good); err != nil {
		return done, err
	}
	if err := r.Allowed(&k, good); err != nil {
		return done, err
	}
	if !r.Staged {
		if _, err := tx.exec(ctx, endSecrets, id, stamp(r.Now), stampOrNull(r.Until), int64(r.Quiet/time.Second)); err != nil {
			return done, err
		}
	}
	if _, err := tx.row(ctx, addSecret, []any{id, r.Hash[:], r.Display, stamp(r.Now), r.Once}, &done.Number); err != nil || r.Staged {
		return done, err
	}
	if _, err := tx.exec(ctx, redeliver, id); err != nil {
		return done, err
	}
	if _, err := tx.exec(ctx, setRotated, r.Display, stamp(r.Now), id); err != nil {
		return done, err
	}
	if err := note(ctx, tx, notes); err != nil {
		return done, err
	}
	done.Key, _, err = oneKey(ctx, tx, id)
	return done, err
}

const (
	dropHandovers  = `DELETE FROM key_handovers WHERE key_id = ? AND opened_at IS NULL`
	insertHandover = `INSERT INTO key_handovers (token_hash, key_id, created_at, created_by, expires_at, overlap_s) VALUES (?, ?, ` +
		`?, ?, ?, ?)`
	selectHandover = `SELECT token_hash, key_id, created_by, created_at, expires_at, overlap_s FROM key_handovers
WHERE key_id = ? AND opened_at IS NULL AND expires_at > ? ORDER BY created_at`
	takeHandover = `UPDATE key_handovers SET opened_at = ?2 WHERE token_hash = ?1 AND opened_at IS NULL AND expires_at > ?2
RETURNING key_id, overlap_s`
)

// OfferSecret implements billing.Secrets.
func (s *Store) OfferSecret(ctx context.Context, h billing.Handover, notes ...*billing.Change) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		if err := wantScope(ctx, tx, billing.ScopeKey, string(h.KeyID)); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, dropHandovers, string(h.KeyID)); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, insertHandover, h.Token[:], string(h.KeyID), stamp(h.CreatedAt), billing.CleanText(h.By),
			stamp(h.ExpiresAt), int64(h.Overlap/time.Second)); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

// ListHandovers implements billing.Secrets.
func (s *Store) ListHandovers(ctx context.Context, id billing.KeyID, now time.Time) (all []billing.Handover, err error) {
	err = s.read.rows(ctx, selectHandover, []any{string(id), stamp(now)}, func(scan scanner) error {
		var h billing.Handover
		var token []byte
		err := scan(&token, &h.KeyID, &h.By, instant{&h.CreatedAt}, instant{&h.ExpiresAt}, seconds{&h.Overlap})
		copy(h.Token[:], token)
		all = append(all, h)
		return err
	})
	return all, err
}

// TakeSecret implements billing.Secrets.
func (s *Store) TakeSecret(ctx context.Context, token [32]byte, r billing.Rotation, notes ...*billing.Change) (
	done billing.Rotated, err error,
) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		var overlap time.Duration
		found, err := tx.row(ctx, takeHandover, []any{token[:], stamp(r.Now)}, &r.KeyID, seconds{&overlap})
		if err == nil && !found {
			err = billing.ErrNoHandover
		}
		if err != nil {
			return err
		}
		r.Until = r.Now.Add(overlap)
		for _, n := range notes {
			n.Object = string(r.KeyID)
		}
		done, err = rotate(ctx, tx, r, notes)
		return err
	})
	return done, err
}

// EndHandover implements billing.Secrets.
func (s *Store) EndHandover(ctx context.Context, token [32]byte, now time.Time, notes ...*billing.Change) (id billing.KeyID, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		var overlap time.Duration
		found, err := tx.row(ctx, takeHandover, []any{token[:], stamp(now)}, &id, seconds{&overlap})
		if err == nil && !found {
			err = billing.ErrNoHandover
		}
		for _, n := range notes {
			n.Object = string(id)
		}
		if err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
	return id, err
}

const (
	endQuiet = `UPDATE api_key_secrets SET valid_until = ?1 WHERE quiet_s IS NOT NULL AND valid_until IS NULL
  AND unixepoch(coalesce(last_used_at, created_at)) + quiet_s <= unixepoch(?1)
RETURNING key_id`
	raiseVersion = `UPDATE api_keys SET version = version + 1 WHERE id = ?`
)

// EndQuietSecrets implements billing.Secrets.
func (s *Store) EndQuietSecrets(ctx context.Context, now time.Time) (ids []billing.KeyID, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		ids = nil
		err := tx.rows(ctx, endQuiet, []any{stamp(now)}, func(scan scanner) error {
			var id billing.KeyID
			err := scan(&id)
			ids = append(ids, id)
			return err
		})
		for _, id := range ids {
			if err == nil {
				_, err = tx.exec(ctx, raiseVersion, string(id))
			}
		}
		return err
	})
	return ids, err
}

const (
	selectUse = `SELECT usage FROM api_key_secrets WHERE key_id = ? AND version = ?`
	updateUse = `UPDATE api_key_secrets SET usage = ?3, last_used_at = max(coalesce(last_used_at, ''), ?4) WHERE key_id = ?1 AND ` +
		`version = ?2`
)

// NoteSecretUse implements billing.Secrets.
func (s *Store) NoteSecretUse(ctx context.Context, uses []billing.SecretUse) error {
	if len(uses) == 0 {
		return nil
	}
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		for _, u := range uses {
			var usage string
			found, err := tx.row(ctx, selectUse, []any{string(u.KeyID), u.Number}, &usage)
			if err == nil && found {
				sum := billing.ParseVersionUse(usage).Plus(u)
				_, err = tx.exec(ctx, updateUse, string(u.KeyID), u.Number, sum.String(), stamp(u.At))
			}
			if err != nil {
				return fmt.Errorf("use of version %d of key %s: %w", u.Number, u.KeyID, err)
			}
		}
		return nil
	})
}

// destroy holds the conditions that select everything belonging to the keys of a scope.
var destroy = map[billing.Scope]string{
	billing.ScopeKey:     ` WHERE key_id = ?1`,
	billing.ScopeProject: ` WHERE key_id IN (SELECT id FROM api_keys WHERE ` + ofProject + `)`,
	billing.ScopeTeam:    ` WHERE key_id IN (SELECT id FROM api_keys WHERE ` + ofTeam + `)`,
}

// destroySecrets deletes the secrets, hand-overs and kept responses of all keys of a scope.
// Delivered copies are only marked here; they are deleted from where they are soon afterwards.
// It returns how many copies there are.
func destroySecrets(ctx context.Context, tx *session, scope billing.Scope, id string) (copies int64, err error) {
	if copies, err = tx.exec(ctx, endDelivery+destroy[scope], id); err != nil {
		return 0, err
	}
	for _, table := range []string{"api_key_secrets", "key_handovers", "stored_responses"} {
		if _, err := tx.exec(ctx, `DELETE FROM `+table+destroy[scope], id); err != nil {
			return 0, err
		}
	}
	return copies, nil
}
