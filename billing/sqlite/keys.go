package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
)

// selectColumns selects keys with everything that limits them, in one consistent statement.
const selectColumns = `SELECT k.id, k.name, k.display, k.project_id, p.name, p.team_id, t.name, t.cost_center, p.environment,
  k.models, k.allowed_cidrs, k.allow_unpriced, k.allow_provider_objects, k.keep_responses, k.tags,
  k.created_by, k.created_at, k.expires_at, k.revoked_at, k.revoked_reason, k.last_used_at, k.version,
  k.overrun_tokens, k.overrun_nano, k.stopped_at, k.enabled_at, k.enabled_by, k.enabled_reason,
  k.purpose, k.owner, k.sensitivity, k.rotate_every_s, k.rotated_at, k.archived_at, k.disabled_at, k.disabled_by, k.disabled_reason,
  k.client, coalesce(k.owner_id, ''), k.tokens_from, p.data_class, t.policy, p.policy, k.policy,
  (SELECT json_group_array(json_object('id', b.id, 'scope', b.scope, 'scope_id', b.scope_id, 'period', b.period,
            'zone', b.zone, 'tokens', b.token_limit, 'money', b.amount_nano, 'requests', b.request_limit,
            'starts', b.starts, 'action', b.near_action, 'thresholds', json(b.thresholds), 'part', b.part,
            'named', b.named) ORDER BY b.id)
     FROM budgets_now b
    WHERE b.archived_at IS NULL AND b.parent_id IS NULL
      AND (b.scope, b.scope_id) IN (VALUES ('key', k.id), ('project', k.project_id), ('team', p.team_id), ('org', 'org')))`

const keyTables = `
FROM api_keys k
JOIN projects p ON p.id = k.project_id
JOIN teams t ON t.id = p.team_id
`

const selectKeys = selectColumns + keyTables

// keyScan returns the variables that the columns of selectColumns are scanned into.
func keyScan(k *billing.Key) []any {
	return []any{
		&k.ID, &k.Name, &k.Display, &k.ProjectID, &k.Project, &k.TeamID, &k.Team, &k.CostCenter, &k.Environment,
		jsonText{&k.Models},
		jsonText{&k.AllowedCIDRs},
		&k.AllowUnpriced, &k.AllowProviderObjects, &k.KeepResponses,
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
		&k.Purpose, &k.Address, &k.Sensitivity,
		seconds{&k.RotateEvery},
		instant{&k.RotatedAt},
		instant{&k.ArchivedAt},
		instant{&k.DisabledAt},
		&k.DisabledBy, &k.DisabledReason,
		&k.Client, &k.OwnerID,
		instant{&k.TokensFrom},
		&k.DataClass,
		orNil{&k.Policies.Team},
		orNil{&k.Policies.Project},
		orNil{&k.Policies.Key},
		jsonText{&k.Budgets},
	}
}

const insertKey = `INSERT INTO api_keys (name, display, project_id, models, allowed_cidrs,
  allow_unpriced, allow_provider_objects, keep_responses, tags, created_by, expires_at, revoked_at, revoked_reason,
  purpose, owner, sensitivity, rotate_every_s, policy, client, owner_id, id, created_at, rotated_at, once, once_body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, ''), ?, ?, ?, nullif(?, ''), nullif(?, ''))`

const updateKey = `UPDATE api_keys SET name = ?, display = ?, project_id = ?, models = ?, allowed_cidrs = ?,
  allow_unpriced = ?, allow_provider_objects = ?, keep_responses = ?, tags = ?, created_by = ?,
  expires_at = ?, revoked_at = ?, revoked_reason = ?,
  purpose = ?, owner = ?, sensitivity = ?, rotate_every_s = ?, policy = ?, client = ?, owner_id = nullif(?, ''), version = version + 1
WHERE id = ? AND version = ?`

// updateStop keeps the overrun unless the key is being enabled again, because settlements add to
// it without raising the version. It runs after updateKey.
const updateStop = `UPDATE api_keys SET overrun_tokens = CASE WHEN enabled_at IS ?2 THEN overrun_tokens ELSE 0 END,
  overrun_nano = CASE WHEN enabled_at IS ?2 THEN overrun_nano ELSE 0 END,
  stopped_at = ?1, enabled_at = ?2, enabled_by = ?3, enabled_reason = ?4,
  disabled_at = ?5, disabled_by = ?6, disabled_reason = ?7, archived_at = ?8, tokens_from = ?9
WHERE id = ?10`

// keyColumns returns the values of the columns that a key may change, in the order of both
// insertKey and updateKey.
func keyColumns(k billing.Key) []any {
	cidrs := append(make([]netip.Prefix, 0, len(k.AllowedCIDRs)), k.AllowedCIDRs...)
	return []any{
		billing.CleanText(k.Name), billing.CleanText(k.Display), k.ProjectID, asJSON(billing.CleanTexts(k.Models)), asJSON(cidrs),
		k.AllowUnpriced, k.AllowProviderObjects, k.KeepResponses, asJSON(billing.CleanTags(k.Tags)), billing.CleanText(k.CreatedBy),
		stampOrNull(k.ExpiresAt), stampOrNull(k.RevokedAt), billing.CleanText(k.RevokedReason),
		billing.CleanText(k.Purpose), billing.CleanText(k.Address), string(cmp.Or(k.Sensitivity, billing.SensitivityNormal)),
		int64(k.RotateEvery / time.Second), policyOrNull(k.Policies.Key),
		string(cmp.Or(k.Client, billing.ClientServer)), k.OwnerID,
	}
}

const insertHash = `INSERT INTO api_key_secrets (key_id, version, secret_hash, display, created_at) VALUES (?, 1, ?, ?, ?)`

// CreateKey implements billing.Keys. It returns billing.ErrDuplicate if the key or its secret
// exists already.
func (s *Store) CreateKey(ctx context.Context, k billing.Key, hash [32]byte, notes ...*billing.Change) error {
	now := s.clock()
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		if err := putKey(ctx, tx, k, hash, now); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

// putKey stores a new key, its first secret and its budgets.
func putKey(ctx context.Context, tx *session, k billing.Key, hash [32]byte, now time.Time) error {
	own, err := ownBudgets(k)
	if err != nil {
		return err
	}
	if k.CreatedAt.IsZero() {
		k.CreatedAt = now
	}
	var rotated any
	if hash != [32]byte{} {
		rotated = stamp(k.CreatedAt)
	}
	if err := wantScope(ctx, tx, billing.ScopeProject, k.ProjectID); err != nil {
		return err
	}
	all := append(keyColumns(k), string(k.ID), stamp(k.CreatedAt), rotated, k.Once.Name, k.Once.Body)
	if _, err := tx.exec(ctx, insertKey, all...); err != nil {
		return err
	}
	if rotated != nil {
		if _, err := tx.exec(ctx, insertHash, string(k.ID), hash[:], billing.CleanText(k.Display), rotated); err != nil {
			return err
		}
	}
	for _, b := range own {
		if err := addBudget(ctx, tx, b, now); err != nil {
			return err
		}
	}
	return nil
}

// selectByHash also returns which of the key's secrets the hash belongs to, and whether other
// secrets of the key are valid too.
const selectByHash = selectColumns + `, s.version, s.valid_until, coalesce(s.quiet_s, 0),
  EXISTS (SELECT 1 FROM api_key_secrets o
           WHERE o.key_id = s.key_id AND o.version <> s.version AND (o.valid_until IS NULL OR o.valid_until > ?2))` + keyTables + `
JOIN api_key_secrets s ON s.key_id = k.id WHERE s.secret_hash = ?1`

// KeyByHash implements billing.Keys.
func (s *Store) KeyByHash(ctx context.Context, hash [32]byte) (k billing.Key, err error) {
	at := &k.Secret
	found, err := s.read.row(ctx, selectByHash, []any{hash[:], stamp(s.clock())},
		append(keyScan(&k), &at.Number, instant{&at.Until}, seconds{&at.Quiet}, &at.Shared)...)
	if err == nil && !found {
		err = billing.ErrUnknownKey
	}
	return k, err
}

const selectOnce = selectColumns + `, coalesce(k.once_body, '')` + keyTables + `WHERE k.once = ?`

// KeyByOnce implements billing.Keys.
func (s *Store) KeyByOnce(ctx context.Context, name string) (k billing.Key, body string, err error) {
	found, err := s.read.row(ctx, selectOnce, []any{name}, append(keyScan(&k), &body)...)
	if err == nil && !found {
		err = billing.ErrUnknownKey
	}
	return k, body, err
}

func oneKey(ctx context.Context, from *session, id string) (k billing.Key, found bool, err error) {
	found, err = from.row(ctx, selectKeys+whereID, []any{id}, keyScan(&k)...)
	return k, found, err
}

const whereID = `WHERE k.id = ?`

// UpdateKey implements billing.Keys. Of the budgets, it changes only those of scope key: they
// are matched by id, and the ones that are gone are archived.
func (s *Store) UpdateKey(ctx context.Context, id billing.KeyID, change func(*billing.Key) error, notes ...*billing.Change) (
	billing.Key, error,
) {
	stored := strings.Replace(selectKeys+whereID, "budgets_now", "budgets", 1) // so that temporary raises are not written back
	for {
		var k billing.Key
		found, err := s.read.row(ctx, stored, []any{string(id)}, keyScan(&k)...)
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
		k, err = s.replaceKey(ctx, k, version, notes)
		if !errors.Is(err, billing.ErrStaleKey) {
			return k, err
		}
	}
}

// replaceKey stores k if the stored version is still the one that k was made from, and otherwise
// returns billing.ErrStaleKey.
func (s *Store) replaceKey(ctx context.Context, k billing.Key, version int64, notes []*billing.Change) (fresh billing.Key, err error) {
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
			billing.CleanText(k.EnabledReason), stampOrNull(k.DisabledAt), billing.CleanText(k.DisabledBy),
			billing.CleanText(k.DisabledReason), stampOrNull(k.ArchivedAt), stampOrNull(k.TokensFrom), string(k.ID)); err != nil {
			return err
		}
		if !k.ArchivedAt.IsZero() {
			if _, err := destroySecrets(ctx, tx, billing.ScopeKey, string(k.ID)); err != nil {
				return err
			}
		}
		if err := replaceBudgets(ctx, tx, string(k.ID), own, s.clock()); err != nil {
			return err
		}
		if err := note(ctx, tx, notes); err != nil {
			return err
		}
		fresh, _, err = oneKey(ctx, tx, string(k.ID))
		return err
	})
	return fresh, err
}

const whereEnded = `WHERE k.id IN (SELECT value FROM json_each(?1))
  AND (k.revoked_at IS NOT NULL OR k.disabled_at IS NOT NULL OR k.expires_at <= ?2)`

// EndedKeys implements billing.Keys.
func (s *Store) EndedKeys(ctx context.Context, ids []billing.KeyID, now time.Time) (keys []billing.Key, err error) {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = string(id)
	}
	err = s.read.rows(ctx, selectKeys+whereEnded, []any{asJSON(names), stamp(now)}, func(scan scanner) error {
		var k billing.Key
		err := scan(keyScan(&k)...)
		keys = append(keys, k)
		return err
	})
	return keys, err
}

// whereStatus maps each key status to its condition.
var whereStatus = map[string]string{
	"archived": "k.archived_at IS NOT NULL AND k.revoked_at IS NOT NULL",
	"revoked":  "k.revoked_at IS NOT NULL AND k.archived_at IS NULL",
	"expired":  "k.expires_at <= ? AND k.revoked_at IS NULL",
	"disabled": "k.disabled_at IS NOT NULL AND k.revoked_at IS NULL AND coalesce(k.expires_at > ?, 1)",
	"stopped":  "k.stopped_at IS NOT NULL AND k.disabled_at IS NULL AND k.revoked_at IS NULL AND coalesce(k.expires_at > ?, 1)",
	"active":   "k.revoked_at IS NULL AND k.disabled_at IS NULL AND k.stopped_at IS NULL AND coalesce(k.expires_at > ?, 1)",
}

// keysBy adds the conditions of a filter that concern the keys themselves. None of them uses
// LIKE, so nothing in a query acts as a wildcard.
func (q *query) keysBy(f billing.KeyFilter) {
	if f.ID != "" {
		q.where("k.id = ?", string(f.ID))
	}
	if f.After != "" {
		q.where("k.id > ?", string(f.After))
	}
	if is := whereStatus[f.Status]; strings.Contains(is, "?") {
		q.where(is, stamp(f.Now))
	} else {
		if is != "" {
			q.where(is)
		}
	}
	if f.Query != "" {
		q.where("(instr(k.name, ?) > 0 OR instr(k.id, ?) = 1 OR instr(k.display, ?) > 0)", f.Query, f.Query, f.Query)
	}
	if !f.Unused.IsZero() {
		q.where("max(k.created_at, coalesce(k.last_used_at, '')) < ?", stampOrNull(f.Unused))
	}
	if f.Owner != "" && f.Address == "" {
		q.where("k.owner_id = ?", f.Owner)
	}
	if f.Owner != "" && f.Address != "" {
		q.where("(k.owner_id = ? OR k.owner_id IS NULL AND k.owner <> '' AND lower(k.owner) = lower(?))", f.Owner, f.Address)
	}
}

// keysOf selects the first keys, by id, of each project that a filter names, and of these the
// first f.Limit: a large team costs no more reads than a small one.
func (q *query) keysOf(f billing.KeyFilter) {
	q.add(" AND k.id IN (SELECT i.value FROM projects o, json_each((SELECT json_group_array(id) FROM" +
		" (SELECT k.id FROM api_keys k WHERE k.project_id = o.id")
	q.keysBy(f)
	q.add(" ORDER BY k.id LIMIT ?))) i WHERE true", f.Limit)
	if f.Team != "" {
		q.where("o.team_id IN (SELECT id FROM teams WHERE id = ? OR name = ?)", f.Team, f.Team)
	}
	if f.Project != "" {
		q.where("(o.id = ? OR o.name = ?)", f.Project, f.Project)
	}
	if f.Within != nil {
		all := asJSON(slices.Concat(f.Within.Teams, f.Within.Projects))
		q.where("(o.team_id IN (SELECT value FROM json_each(?)) OR o.id IN (SELECT value FROM json_each(?)))", all, all)
	}
	q.add(" ORDER BY i.value LIMIT ?)", f.Limit)
}

// mostKeys is the largest page size.
const mostKeys = 200

// within returns the parameter that narrows a list to teams and projects, by their ids; NULL
// means no restriction.
func within(w *billing.Within) any {
	if w == nil {
		return nil
	}
	return asJSON(slices.Concat(w.Teams, w.Projects))
}

// ListKeys implements billing.Keys.
func (s *Store) ListKeys(ctx context.Context, f billing.KeyFilter) ([]billing.Key, error) {
	if f.Status != "" && !slices.Contains(billing.KeyStatuses(), f.Status) {
		return nil, &billing.ConflictError{Detail: fmt.Sprintf("keys have no status %q", f.Status)}
	}
	if f.Limit <= 0 || f.Limit > mostKeys {
		f.Limit = mostKeys
	}
	if f.Now.IsZero() {
		f.Now = s.clock()
	}
	var keys []billing.Key
	q := query{sql: selectKeys + "WHERE true"}
	if f.Team != "" || f.Project != "" || f.Within != nil {
		q.keysOf(f)
	} else {
		q.keysBy(f)
	}
	q.add(" ORDER BY k.id LIMIT ?", f.Limit)
	err := s.read.rows(ctx, q.sql, q.args, func(scan scanner) error {
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
