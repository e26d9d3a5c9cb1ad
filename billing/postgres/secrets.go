package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

const listSecretsSQL = `
SELECT version, display, created_at, valid_until, coalesce(quiet_s, 0), last_used_at, usage
  FROM api_key_secrets WHERE key_id = $1 ORDER BY version DESC`

// ListSecrets implements billing.Secrets.
func (s *Store) ListSecrets(ctx context.Context, id billing.KeyID) ([]billing.SecretVersion, error) {
	return all(ctx, s, func(row pgx.CollectableRow) (v billing.SecretVersion, err error) {
		var until, used *time.Time
		var quiet int64
		var usage string
		err = row.Scan(&v.Number, &v.Display, &v.CreatedAt, &until, &quiet, &used, &usage)
		v.CreatedAt, v.ValidUntil, v.LastUsedAt = v.CreatedAt.UTC(), utc(until), utc(used)
		v.Quiet, v.Use = time.Duration(quiet)*time.Second, billing.ParseVersionUse(usage)
		return v, err
	}, listSecretsSQL, id)
}

//nolint:gosec // statements about secrets, not secrets
const (
	lockKeySQL      = keySelect + " WHERE k.id = $1 FOR NO KEY UPDATE OF k"
	findRotationSQL = "SELECT version FROM api_key_secrets WHERE key_id = $1 AND once = $2"
	goodSecretsSQL  = "SELECT count(*) FROM api_key_secrets WHERE key_id = $1 AND (valid_until IS NULL OR valid_until > $2)"
	// endSecretsSQL makes every valid secret end at $3 or, if that is null, once it has not
	// been used for $4 seconds. An earlier end that was already set is kept.
	endSecretsSQL = `
UPDATE api_key_secrets
   SET valid_until = CASE WHEN $3::timestamptz IS NULL THEN valid_until ELSE least(valid_until, $3) END,
       quiet_s = CASE WHEN $3::timestamptz IS NULL AND valid_until IS NULL THEN least(quiet_s, $4) ELSE quiet_s END,
       last_used_at = CASE WHEN $3::timestamptz IS NULL THEN coalesce(last_used_at, $2) ELSE last_used_at END
 WHERE key_id = $1 AND (valid_until IS NULL OR valid_until > $2)`
	addSecretSQL = `
INSERT INTO api_key_secrets (key_id, version, secret_hash, display, created_at, once)
SELECT $1, coalesce(max(version), 0) + 1, $2, $3, $4, nullif($5, '') FROM api_key_secrets WHERE key_id = $1
RETURNING version`
	rotatedSQL = "UPDATE api_keys SET display = $2, rotated_at = $3, version = version + 1 WHERE id = $1"
)

// RotateSecret implements billing.Secrets.
func (s *Store) RotateSecret(ctx context.Context, r billing.Rotation, notes ...*billing.Change) (done billing.Rotated, err error) {
	err = s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		done, err = rotate(ctx, tx, r, notes)
		return err
	})
	if code(err) == uniqueViolation {
		err = fmt.Errorf("%w: the secret", billing.ErrDuplicate)
	}
	return done, err
}

// rotate must run under the lock for changes to keys.
func rotate(ctx context.Context, tx pgx.Tx, r billing.Rotation, notes []*billing.Change) (done billing.Rotated, err error) {
	done.Key, err = one(ctx, tx, scanKey, lockKeySQL, r.KeyID)
	if errors.Is(err, pgx.ErrNoRows) {
		err = &billing.NotFoundError{What: "key", ID: string(r.KeyID)}
	}
	if err != nil {
		return done, err
	}
	if r.Once != "" {
		err := tx.QueryRow(ctx, findRotationSQL, r.KeyID, r.Once).Scan(&done.Number)
		if !errors.Is(err, pgx.ErrNoRows) {
			done.Existed = err == nil
			return done, err
		}
	}
	var good int
	if err := tx.QueryRow(ctx, goodSecretsSQL, r.KeyID, r.Now).Scan(&good); err != nil {
		return done, err
	}
	if err := r.Allowed(&done.Key, good); err != nil {
		return done, err
	}
	quiet := int64(r.Quiet / time.Second)
	if !r.Staged {
		if _, err := tx.Exec(ctx, endSecretsSQL, r.KeyID, r.Now, orNull(r.Until), quiet); err != nil {
			return done, err
		}
	}
	if err := tx.QueryRow(ctx, addSecretSQL, r.KeyID, r.Hash[:], r.Display, r.Now, r.Once).Scan(&done.Number); err != nil || r.Staged {
		return done, err
	}
	if _, err := tx.Exec(ctx, redeliverSQL, r.KeyID); err != nil {
		return done, err
	}
	if _, err := tx.Exec(ctx, rotatedSQL, r.KeyID, r.Display, r.Now); err != nil {
		return done, err
	}
	if err := note(ctx, tx, notes); err != nil {
		return done, err
	}
	done.Key, err = one(ctx, tx, scanKey, lockKeySQL, r.KeyID)
	return done, err
}

const (
	dropHandoversSQL = "DELETE FROM key_handovers WHERE key_id = $1 AND opened_at IS NULL"
	offerSQL         = `
INSERT INTO key_handovers (token_hash, key_id, created_at, created_by, expires_at, overlap_s) VALUES ($1, $2, $3, $4, $5, $6)`
	listHandoversSQL = `
SELECT token_hash, key_id, created_by, created_at, expires_at, overlap_s FROM key_handovers
 WHERE key_id = $1 AND opened_at IS NULL AND expires_at > $2 ORDER BY created_at`
	takeSQL = `
UPDATE key_handovers SET opened_at = $2 WHERE token_hash = $1 AND opened_at IS NULL AND expires_at > $2
RETURNING key_id, overlap_s`
)

// OfferSecret implements billing.Secrets.
func (s *Store) OfferSecret(ctx context.Context, h billing.Handover, notes ...*billing.Change) error {
	return s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := mustExist(ctx, tx, billing.ScopeKey, string(h.KeyID)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, dropHandoversSQL, h.KeyID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, offerSQL, h.Token[:], h.KeyID, h.CreatedAt, billing.CleanText(h.By), h.ExpiresAt,
			int64(h.Overlap/time.Second))
		return errors.Join(err, note(ctx, tx, notes))
	})
}

// ListHandovers implements billing.Secrets.
func (s *Store) ListHandovers(ctx context.Context, id billing.KeyID, now time.Time) ([]billing.Handover, error) {
	return all(ctx, s, func(row pgx.CollectableRow) (h billing.Handover, err error) {
		var token []byte
		var overlap int64
		err = row.Scan(&token, &h.KeyID, &h.By, &h.CreatedAt, &h.ExpiresAt, &overlap)
		copy(h.Token[:], token)
		h.CreatedAt, h.ExpiresAt, h.Overlap = h.CreatedAt.UTC(), h.ExpiresAt.UTC(), time.Duration(overlap)*time.Second
		return h, err
	}, listHandoversSQL, id, now)
}

// TakeSecret implements billing.Secrets.
func (s *Store) TakeSecret(ctx context.Context, token [32]byte, r billing.Rotation, notes ...*billing.Change) (
	done billing.Rotated, err error,
) {
	err = s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var overlap int64
		err := tx.QueryRow(ctx, takeSQL, token[:], r.Now).Scan(&r.KeyID, &overlap)
		if errors.Is(err, pgx.ErrNoRows) {
			return billing.ErrNoHandover
		}
		if err != nil {
			return err
		}
		r.Until = r.Now.Add(time.Duration(overlap) * time.Second)
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
	err = s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var overlap int64
		err := tx.QueryRow(ctx, takeSQL, token[:], now).Scan(&id, &overlap)
		if errors.Is(err, pgx.ErrNoRows) {
			return billing.ErrNoHandover
		}
		for _, n := range notes {
			n.Object = string(id)
		}
		if err == nil {
			err = note(ctx, tx, notes)
		}
		return err
	})
	return id, err
}

const endQuietSQL = `
WITH ended AS (
  UPDATE api_key_secrets SET valid_until = $1
   WHERE quiet_s IS NOT NULL AND valid_until IS NULL AND coalesce(last_used_at, created_at) + quiet_s * interval '1 second' <= $1
  RETURNING key_id
)
UPDATE api_keys SET version = version + 1
 WHERE id IN (SELECT id FROM api_keys WHERE id IN (SELECT key_id FROM ended) ORDER BY id FOR NO KEY UPDATE)
RETURNING id`

// EndQuietSecrets implements billing.Secrets.
func (s *Store) EndQuietSecrets(ctx context.Context, now time.Time) (ids []billing.KeyID, err error) {
	err = s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		rows, err := tx.Query(ctx, endQuietSQL, now)
		if err != nil {
			return err
		}
		ids, err = pgx.CollectRows(rows, pgx.RowTo[billing.KeyID])
		return err
	})
	return ids, err
}

const (
	lockUseSQL = `
SELECT s.key_id, s.version, s.usage FROM api_key_secrets s
  JOIN unnest($1::text[], $2::int[]) AS u (key_id, version) ON u.key_id = s.key_id AND u.version = s.version
 FOR NO KEY UPDATE OF s`
	noteUseSQL = `
UPDATE api_key_secrets SET usage = $3, last_used_at = greatest(last_used_at, $4) WHERE key_id = $1 AND version = $2`
)

// NoteSecretUse implements billing.Secrets. It reads the rows only once they are locked.
func (s *Store) NoteSecretUse(ctx context.Context, uses []billing.SecretUse) error {
	if len(uses) == 0 {
		return nil
	}
	keys, versions := make([]string, len(uses)), make([]int32, len(uses))
	for i, u := range uses {
		keys[i], versions[i] = string(u.KeyID), int32(u.Number)
	}
	return s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		rows, err := tx.Query(ctx, lockUseSQL, keys, versions)
		if err != nil {
			return err
		}
		updates := &pgx.Batch{}
		var key billing.KeyID
		var version int
		var usage string
		_, err = pgx.ForEachRow(rows, []any{&key, &version, &usage}, func() error {
			i := slices.IndexFunc(uses, func(u billing.SecretUse) bool { return u.KeyID == key && u.Number == version })
			sum := billing.ParseVersionUse(usage).Plus(uses[i])
			updates.Queue(noteUseSQL, key, version, sum.String(), uses[i].At)
			return nil
		})
		if err != nil {
			return err
		}
		return tx.SendBatch(ctx, updates).Close()
	})
}

// destroySQL holds, for each scope, the condition that selects its keys by key_id.
var destroySQL = map[billing.Scope]string{
	billing.ScopeKey:     "= $1",
	billing.ScopeProject: "IN (SELECT id FROM api_keys WHERE project_id = $1)",
	billing.ScopeTeam:    "IN (SELECT k.id FROM api_keys k JOIN projects p ON p.id = k.project_id WHERE p.team_id = $1)",
}

// destroySecrets deletes the secrets, handovers and stored responses of all keys in a scope.
// It marks delivered copies for removal from their sinks, and returns how many there are.
func destroySecrets(ctx context.Context, tx pgx.Tx, scope billing.Scope, id string) (copies int64, err error) {
	tag, err := tx.Exec(ctx, endDeliverySQL+destroySQL[scope], id)
	if err != nil {
		return 0, err
	}
	for _, table := range []string{"api_key_secrets", "key_handovers", "stored_responses"} {
		if _, err := tx.Exec(ctx, "DELETE FROM "+table+" WHERE key_id "+destroySQL[scope], id); err != nil {
			return 0, err
		}
	}
	return tag.RowsAffected(), nil
}
