package sqlite

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"tallyroute/billing"
)

// selectKeys reads keys with all that binds them, in one consistent statement.
const selectKeys = `SELECT k.id, k.name, k.display, k.project_id, p.name, p.team_id, t.name, t.cost_center, p.environment,
  k.models, k.allowed_cidrs, k.requests_per_minute, k.tokens_per_minute, k.allow_unpriced, k.allow_provider_objects, k.tags,
  k.created_by, k.created_at, k.expires_at, k.revoked_at, k.revoked_reason, k.last_used_at, k.version,
  k.overrun_tokens, k.overrun_nano, k.stopped_at, k.enabled_at, k.enabled_by, k.enabled_reason,
  (SELECT json_group_array(json_object('id', b.id, 'scope', b.scope, 'scope_id', b.scope_id, 'period', b.period,
            'zone', b.zone, 'tokens', b.token_limit, 'money', b.amount_nano) ORDER BY b.id)
     FROM budgets b
    WHERE b.archived_at IS NULL
      AND (b.scope, b.scope_id) IN (VALUES ('key', k.id), ('project', k.project_id), ('team', p.team_id), ('org', 'org')))
FROM api_keys k
JOIN projects p ON p.id = k.project_id
JOIN teams t ON t.id = p.team_id
`

// keyScan is where the columns of selectKeys go.
func keyScan(k *billing.Key) []any {
	return []any{
		&k.ID, &k.Name, &k.Display, &k.ProjectID, &k.Project, &k.TeamID, &k.Team, &k.CostCenter, &k.Environment,
		jsonText{&k.Models},
		jsonText{&k.AllowedCIDRs},
		&k.RequestsPerMinute, &k.TokensPerMinute, &k.AllowUnpriced, &k.AllowProviderObjects,
		jsonText{&k.Tags},
		&k.CreatedBy,
		instant{&k.CreatedAt},
		instant{&k.ExpiresAt},
		instant{&k.RevokedAt},
		&k.RevokedReason,
		instant{&k.LastUsedAt},
		&k.Version,
		&k.Overrun.Tokens, &k.Overrun.Money,
		instant{&k.StoppedAt},
		instant{&k.EnabledAt},
		&k.EnabledBy, &k.EnabledReason,
		jsonText{&k.Budgets},
	}
}

const insertKey = `INSERT INTO api_keys (name, display, project_id, models, allowed_cidrs, requests_per_minute, tokens_per_minute,
  allow_unpriced, allow_provider_objects, tags, created_by, expires_at, revoked_at, revoked_reason, id, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

const updateKey = `UPDATE api_keys SET name = ?, display = ?, project_id = ?, models = ?, allowed_cidrs = ?, requests_per_minute = ?,
  tokens_per_minute = ?, allow_unpriced = ?, allow_provider_objects = ?, tags = ?, created_by = ?, expires_at = ?, revoked_at = ?, revoked_reason = ?, version = version + 1
WHERE id = ? AND version = ?`

// updateStop keeps the overrun unless the key is enabled anew: settlements add to
// it without a new version. It comes after updateKey.
const updateStop = `UPDATE api_keys SET overrun_tokens = CASE WHEN enabled_at IS ?2 THEN overrun_tokens ELSE 0 END,
  overrun_nano = CASE WHEN enabled_at IS ?2 THEN overrun_nano ELSE 0 END,
  stopped_at = ?1, enabled_at = ?2, enabled_by = ?3, enabled_reason = ?4
WHERE id = ?5`

// keyColumns are the columns that a key may change, in the order of both.
func keyColumns(k billing.Key) []any {
	cidrs := append(make([]netip.Prefix, 0, len(k.AllowedCIDRs)), k.AllowedCIDRs...)
	return []any{
		billing.CleanText(k.Name), billing.CleanText(k.Display), k.ProjectID, asJSON(billing.CleanTexts(k.Models)), asJSON(cidrs),
		k.RequestsPerMinute,
		k.TokensPerMinute, k.AllowUnpriced, k.AllowProviderObjects, asJSON(billing.CleanTags(k.Tags)), billing.CleanText(k.CreatedBy),
		stampOrNull(k.ExpiresAt), stampOrNull(k.RevokedAt), billing.CleanText(k.RevokedReason),
	}
}

const insertHash = `INSERT INTO api_key_secrets (key_id, version, secret_hash, created_at) VALUES (?, 1, ?, ?)`

// CreateKey implements billing.Keys. A key or a secret that is there already is
// billing.ErrDuplicate.
func (s *Store) CreateKey(ctx context.Context, k billing.Key, hash [32]byte) error {
	own, err := ownBudgets(k)
	if err != nil {
		return err
	}
	now := s.clock()
	if k.CreatedAt.IsZero() {
		k.CreatedAt = now
	}
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		if err := wantScope(ctx, tx, billing.ScopeProject, k.ProjectID); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, insertKey, append(keyColumns(k), string(k.ID), stamp(k.CreatedAt))...); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, insertHash, string(k.ID), hash[:], stamp(now)); err != nil {
			return err
		}
		for _, b := range own {
			if err := addBudget(ctx, tx, b, now); err != nil {
				return err
			}
		}
		return nil
	})
}

const whereHash = `WHERE k.id = (SELECT key_id FROM api_key_secrets WHERE secret_hash = ? AND (valid_until IS NULL OR valid_until > ?))`

// KeyByHash implements billing.Keys.
func (s *Store) KeyByHash(ctx context.Context, hash [32]byte) (billing.Key, error) {
	k, found, err := oneKey(ctx, s.read, selectKeys+whereHash, hash[:], stamp(s.clock()))
	if err == nil && !found {
		err = billing.ErrUnknownKey
	}
	return k, err
}

func oneKey(ctx context.Context, from *session, query string, args ...any) (k billing.Key, found bool, err error) {
	found, err = from.row(ctx, query, args, keyScan(&k)...)
	return k, found, err
}

const whereID = `WHERE k.id = ?`

// UpdateKey implements billing.Keys. Of the budgets it changes those of scope
// key: they are kept by their ids, and the ones that are gone are archived.
func (s *Store) UpdateKey(ctx context.Context, id billing.KeyID, change func(*billing.Key) error) (billing.Key, error) {
	for {
		k, found, err := oneKey(ctx, s.read, selectKeys+whereID, string(id))
		if err == nil && !found {
			err = &billing.NotFoundError{What: "key", ID: string(id)}
		}
		if err != nil {
			return billing.Key{}, err
		}
		version := k.Version
		if err := change(&k); err != nil {
			return billing.Key{}, err
		}
		k.ID = id
		k, err = s.replaceKey(ctx, k, version)
		if !errors.Is(err, billing.ErrStaleKey) {
			return k, err
		}
	}
}

// replaceKey writes k if the version is still the one that it was made from.
func (s *Store) replaceKey(ctx context.Context, k billing.Key, version int64) (fresh billing.Key, err error) {
	own, err := ownBudgets(k)
	if err != nil {
		return billing.Key{}, err
	}
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		if err := wantScope(ctx, tx, billing.ScopeProject, k.ProjectID); err != nil {
			return err
		}
		n, err := tx.exec(ctx, updateKey, append(keyColumns(k), string(k.ID), version)...)
		if err != nil {
			return err
		}
		if n == 0 {
			return billing.ErrStaleKey
		}
		if _, err := tx.exec(ctx, updateStop, stampOrNull(k.StoppedAt), stampOrNull(k.EnabledAt), billing.CleanText(k.EnabledBy),
			billing.CleanText(k.EnabledReason), string(k.ID)); err != nil {
			return err
		}
		if err := replaceBudgets(ctx, tx, string(k.ID), own, s.clock()); err != nil {
			return err
		}
		fresh, _, err = oneKey(ctx, tx, selectKeys+whereID, string(k.ID))
		return err
	})
	return fresh, err
}

// whereFilter compares nothing with LIKE, so nothing in a query is a wildcard.
const whereFilter = `WHERE k.id > ?1 AND (?2 = '' OR k.id = ?2)
  AND (?3 = '' OR t.id = ?3 OR t.name = ?3)
  AND (?4 = '' OR p.id = ?4 OR p.name = ?4)
  AND (?5 = '' OR instr(k.name, ?5) > 0)
  AND CASE ?6
      WHEN 'active'  THEN k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > ?7) AND k.stopped_at IS NULL
      WHEN 'stopped' THEN k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > ?7) AND k.stopped_at IS NOT NULL
      WHEN 'expired' THEN k.revoked_at IS NULL AND k.expires_at <= ?7
      WHEN 'revoked' THEN k.revoked_at IS NOT NULL
      ELSE TRUE END
ORDER BY k.id LIMIT ?8`

// mostKeys is the largest page.
const mostKeys = 200

// ListKeys implements billing.Keys.
func (s *Store) ListKeys(ctx context.Context, f billing.KeyFilter) ([]billing.Key, error) {
	switch f.Status {
	case "", "active", "stopped", "expired", "revoked":
	default:
		return nil, fmt.Errorf("billing/sqlite: no status %q, want active, stopped, expired or revoked", f.Status)
	}
	if f.Limit <= 0 || f.Limit > mostKeys {
		f.Limit = mostKeys
	}
	if f.Now.IsZero() {
		f.Now = s.clock()
	}
	var keys []billing.Key
	args := []any{string(f.After), string(f.ID), f.Team, f.Project, f.Query, f.Status, stamp(f.Now), f.Limit}
	err := s.read.rows(ctx, selectKeys+whereFilter, args, func(scan scanner) error {
		var k billing.Key
		err := scan(keyScan(&k)...)
		keys = append(keys, k)
		return err
	})
	return keys, err
}

const touchKey = `UPDATE api_keys SET last_used_at = ?1 WHERE id = ?2 AND coalesce(last_used_at, '') < ?1`

// TouchKeys implements billing.Keys.
func (s *Store) TouchKeys(ctx context.Context, used map[billing.KeyID]time.Time) error {
	if len(used) == 0 {
		return nil
	}
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		for id, at := range used {
			if _, err := tx.exec(ctx, touchKey, stamp(at), string(id)); err != nil {
				return err
			}
		}
		return nil
	})
}
