package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

// keyColumns selects keys with their owners' names and every budget that applies to
// them, all in one snapshot, so that a version never comes with the budgets of another.
const keyColumns = `
SELECT k.id, k.name, k.display, k.project_id, p.name, p.team_id, t.name, t.cost_center, p.environment,
       k.models, k.allowed_cidrs, k.allow_unpriced, k.allow_provider_objects,
       k.keep_responses, k.tags, k.created_by, k.created_at, k.expires_at, k.revoked_at, k.revoked_reason, k.last_used_at, k.version,
       k.overrun_tokens, k.overrun_nano, k.stopped_at, k.enabled_at, k.enabled_by, k.enabled_reason,
       k.purpose, k.owner, k.sensitivity, k.rotate_every_s, k.rotated_at, k.archived_at,
       k.disabled_at, k.disabled_by, k.disabled_reason, k.client, coalesce(k.owner_id, ''), k.tokens_from, p.data_class,
       t.policy, p.policy, k.policy,
       (SELECT coalesce(json_agg(json_build_object('id', b.id, 'scope', b.scope, 'scope_id', b.scope_id, 'period', b.period,
                 'zone', b.zone, 'tokens', b.token_limit, 'money', b.amount_nano, 'requests', b.request_limit,
                 'starts', b.starts, 'action', b.near_action, 'thresholds', b.thresholds::json, 'part', b.part, 'named', b.named)
                 ORDER BY b.id), '[]')
          FROM budgets_now b
         WHERE b.archived_at IS NULL AND b.parent_id IS NULL
           AND (b.scope, b.scope_id) IN (('key', k.id), ('project', k.project_id), ('team', p.team_id), ('org', 'org')))`

const keyTables = `
  FROM api_keys k
  JOIN projects p ON p.id = k.project_id
  JOIN teams t ON t.id = p.team_id`

const keySelect = keyColumns + keyTables

// scanKey reads a row of keySelect.
func scanKey(row pgx.CollectableRow) (billing.Key, error) { return scanKeyAnd(row) }

// scanKeyAnd reads a row of keyColumns and any columns that follow them.
func scanKeyAnd(row pgx.CollectableRow, more ...any) (billing.Key, error) {
	var k billing.Key
	var cidrs []string
	var tags, budgets []byte
	var rotateEvery int64
	var expires, revoked, used, stopped, enabled, rotated, archived, disabled, tokens *time.Time
	err := row.Scan(append([]any{
		&k.ID, &k.Name, &k.Display, &k.ProjectID, &k.Project, &k.TeamID, &k.Team, &k.CostCenter, &k.Environment,
		&k.Models, &cidrs, &k.AllowUnpriced, &k.AllowProviderObjects, &k.KeepResponses, &tags,
		&k.CreatedBy, &k.CreatedAt, &expires, &revoked, &k.RevokedReason, &used, &k.Version,
		&k.Overrun.Tokens, &k.Overrun.Money, &stopped, &enabled, &k.EnabledBy, &k.EnabledReason,
		&k.Purpose, &k.Address, &k.Sensitivity, &rotateEvery, &rotated, &archived, &disabled, &k.DisabledBy, &k.DisabledReason,
		&k.Client, &k.OwnerID, &tokens, &k.DataClass, &k.Policies.Team, &k.Policies.Project, &k.Policies.Key,
		&budgets,
	}, more...)...)
	if err != nil {
		return k, err
	}
	if len(k.Models) == 0 {
		k.Models = nil // nil allows all models, an empty list would allow none
	}
	for _, c := range cidrs {
		prefix, err := netip.ParsePrefix(c)
		if err != nil {
			return k, fmt.Errorf("billing/postgres: key %s: %w", k.ID, err)
		}
		k.AllowedCIDRs = append(k.AllowedCIDRs, prefix)
	}
	k.CreatedAt = k.CreatedAt.UTC()
	k.ExpiresAt, k.RevokedAt, k.LastUsedAt = utc(expires), utc(revoked), utc(used)
	k.StoppedAt, k.EnabledAt, k.DisabledAt, k.TokensFrom = utc(stopped), utc(enabled), utc(disabled), utc(tokens)
	k.RotatedAt, k.ArchivedAt, k.RotateEvery = utc(rotated), utc(archived), time.Duration(rotateEvery)*time.Second
	return k, errors.Join(json.Unmarshal(tags, &k.Tags), json.Unmarshal(budgets, &k.Budgets))
}

func utc(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// orNull returns nil for the zero time, which is stored as null.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// keyByHashSQL also returns which of the key's secrets matched, and whether another one
// is valid as well.
const keyByHashSQL = keyColumns + `,
       s.version, s.valid_until, coalesce(s.quiet_s, 0),
       EXISTS (SELECT FROM api_key_secrets o
                WHERE o.key_id = s.key_id AND o.version <> s.version AND (o.valid_until IS NULL OR o.valid_until > now()))` + keyTables + `
  JOIN api_key_secrets s ON s.key_id = k.id
 WHERE s.secret_hash = $1`

// scanSecretKey reads a row of keyByHashSQL.
func scanSecretKey(row pgx.CollectableRow) (billing.Key, error) {
	var s billing.SecretState
	var until *time.Time
	var quiet int64
	k, err := scanKeyAnd(row, &s.Number, &until, &quiet, &s.Shared)
	s.Until, s.Quiet = utc(until), time.Duration(quiet)*time.Second
	k.Secret = s
	return k, err
}

// KeyByHash implements billing.Keys.
func (s *Store) KeyByHash(ctx context.Context, hash [32]byte) (k billing.Key, err error) {
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		k, err = one(ctx, c, scanSecretKey, keyByHashSQL, hash[:])
		if errors.Is(err, pgx.ErrNoRows) {
			return billing.ErrUnknownKey
		}
		return err
	})
	return k, err
}

const keyByOnceSQL = keyColumns + ", coalesce(k.once_body, '')" + keyTables + " WHERE k.once = $1"

// KeyByOnce implements billing.Keys.
func (s *Store) KeyByOnce(ctx context.Context, name string) (k billing.Key, body string, err error) {
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		k, err = one(ctx, c, func(row pgx.CollectableRow) (billing.Key, error) { return scanKeyAnd(row, &body) }, keyByOnceSQL, name)
		if errors.Is(err, pgx.ErrNoRows) {
			return billing.ErrUnknownKey
		}
		return err
	})
	return k, body, err
}

const endedKeysSQL = keySelect + `
 WHERE k.id = ANY ($1::text[]) AND (k.revoked_at IS NOT NULL OR k.disabled_at IS NOT NULL OR k.expires_at <= $2)`

// EndedKeys implements billing.Keys.
func (s *Store) EndedKeys(ctx context.Context, ids []billing.KeyID, now time.Time) ([]billing.Key, error) {
	return all(ctx, s, scanKey, endedKeysSQL, ids, now)
}

// statusSQL holds the condition for each status of a key.
var statusSQL = map[string]string{
	"archived": "k.archived_at IS NOT NULL AND k.revoked_at IS NOT NULL",
	"revoked":  "k.revoked_at IS NOT NULL AND k.archived_at IS NULL",
	"expired":  "k.expires_at <= ? AND k.revoked_at IS NULL",
	"disabled": "k.disabled_at IS NOT NULL AND k.revoked_at IS NULL AND (k.expires_at > ?) IS NOT FALSE",
	"stopped": "k.stopped_at IS NOT NULL AND k.disabled_at IS NULL AND k.revoked_at IS NULL" +
		" AND (k.expires_at > ?) IS NOT FALSE",
	"active": "k.revoked_at IS NULL AND k.disabled_at IS NULL AND k.stopped_at IS NULL AND (k.expires_at > ?) IS NOT FALSE",
}

// keysBy adds the filter's conditions on the keys themselves.
func (q *query) keysBy(f billing.KeyFilter) {
	if f.ID != "" {
		q.where("k.id = ?", billing.CleanText(string(f.ID)))
	}
	if f.After != "" {
		q.where("k.id > ?", billing.CleanText(string(f.After)))
	}
	if is := statusSQL[f.Status]; strings.Contains(is, "?") {
		q.where(is, f.Now)
	} else {
		if is != "" {
			q.where(is)
		}
	}
	text := billing.CleanText(f.Query)
	if text != "" {
		q.where("(strpos(k.name, ?) > 0 OR starts_with(k.id, ?) OR strpos(k.display, ?) > 0)", text, text, text)
	}
	if !f.Unused.IsZero() {
		q.where("greatest(k.created_at, k.last_used_at) < ?", f.Unused)
	}
	if f.Owner != "" && f.Address == "" {
		q.where("k.owner_id = ?", billing.CleanText(f.Owner))
	}
	if f.Owner != "" && f.Address != "" {
		q.where("(k.owner_id = ? OR k.owner_id IS NULL AND k.owner <> '' AND lower(k.owner) = lower(?))",
			billing.CleanText(f.Owner), billing.CleanText(f.Address))
	}
}

// keysOf restricts q to the projects that the filter names. It takes the first keys of
// each project in order of id, then the first of those, so that the number of rows read
// does not grow with the size of a project.
func (q *query) keysOf(f billing.KeyFilter, limit int) {
	q.add(" AND k.id IN (SELECT i.id FROM projects o CROSS JOIN LATERAL (SELECT k.id FROM api_keys k WHERE k.project_id = o.id")
	q.keysBy(f)
	q.add(" ORDER BY k.id LIMIT ?) i WHERE true", limit)
	team, project := billing.CleanText(f.Team), billing.CleanText(f.Project)
	if team != "" {
		q.where("o.team_id IN (SELECT id FROM teams WHERE id = ? OR name = ?)", team, team)
	}
	if project != "" {
		q.where("(o.id = ? OR o.name = ?)", project, project)
	}
	if f.Within != nil {
		q.where("(o.team_id = ANY (?) OR o.id = ANY (?))", f.Within.Teams, f.Within.Projects)
	}
	q.add(" ORDER BY i.id LIMIT ?)", limit)
}

// mostKeys is both the maximum and the default length of a list.
const mostKeys = 200

// within returns the parameters that restrict a list to teams and projects.
func within(w *billing.Within) (everywhere bool, teams, projects []string) {
	if w == nil {
		return true, nil, nil
	}
	return false, w.Teams, w.Projects
}

// ListKeys implements billing.Keys.
func (s *Store) ListKeys(ctx context.Context, f billing.KeyFilter) (keys []billing.Key, err error) {
	if f.Status != "" && !slices.Contains(billing.KeyStatuses(), f.Status) {
		return nil, &billing.ConflictError{Detail: fmt.Sprintf("keys have no status %q", f.Status)}
	}
	limit := f.Limit
	if limit <= 0 || limit > mostKeys {
		limit = mostKeys
	}
	q := query{sql: keySelect + " WHERE true"}
	if f.Team != "" || f.Project != "" || f.Within != nil {
		q.keysOf(f, limit)
	} else {
		q.keysBy(f)
	}
	q.add(" ORDER BY k.id LIMIT ?", limit)
	return all(ctx, s, scanKey, q.sql, q.args...)
}

const createKeySQL = `
INSERT INTO api_keys (id, project_id, name, display, models, allowed_cidrs,
                      allow_unpriced, tags, created_by, created_at, expires_at, revoked_at, revoked_reason, allow_provider_objects,
                      purpose, owner, sensitivity, rotate_every_s, rotated_at, once, once_body, policy, client,
                      keep_responses, owner_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce($10, now()), $11, $12, $13, $14, $15, $16, $17, $18,
        CASE WHEN $19 THEN coalesce($10, now()) END, nullif($20, ''), nullif($21, ''), $22, $23, $24, nullif($25, ''))`

//nolint:gosec // a statement about secrets, not a secret
const createSecretSQL = `
INSERT INTO api_key_secrets (key_id, version, secret_hash, display, created_at)
SELECT id, 1, $2, display, created_at FROM api_keys WHERE id = $1`

// CreateKey implements billing.Keys.
func (s *Store) CreateKey(ctx context.Context, k billing.Key, hash [32]byte, notes ...*billing.Change) error {
	return s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := putKey(ctx, tx, k, hash); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

// putKey stores a new key, its first secret and its budgets.
func putKey(ctx context.Context, tx pgx.Tx, k billing.Key, hash [32]byte) error {
	secret := hash != [32]byte{}
	if err := mustExist(ctx, tx, billing.ScopeProject, k.ProjectID); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, createKeySQL, k.ID, k.ProjectID, billing.CleanText(k.Name), billing.CleanText(k.Display),
		billing.CleanTexts(k.Models), cidrs(k), k.AllowUnpriced, billing.CleanTags(k.Tags),
		billing.CleanText(k.CreatedBy), orNull(k.CreatedAt), orNull(k.ExpiresAt), orNull(k.RevokedAt), billing.CleanText(k.RevokedReason),
		k.AllowProviderObjects, billing.CleanText(k.Purpose), billing.CleanText(k.Address),
		cmp.Or(k.Sensitivity, billing.SensitivityNormal), int64(k.RotateEvery/time.Second), secret, k.Once.Name, k.Once.Body,
		k.Policies.Key, cmp.Or(k.Client, billing.ClientServer), k.KeepResponses, k.OwnerID)
	if err == nil && secret {
		_, err = tx.Exec(ctx, createSecretSQL, k.ID, hash[:])
	}
	if err == nil {
		err = keepBudgets(ctx, tx, k)
	}
	if taken := (*billing.ConflictError)(nil); code(err) == uniqueViolation || errors.As(err, &taken) {
		return fmt.Errorf("%w: key %s, its secret or a budget of it", billing.ErrDuplicate, k.ID)
	}
	return err
}

// withoutRaises changes a query for keys to return their budgets as stored, without
// raises, so that they can be written back.
func withoutRaises(keys string) string { return strings.Replace(keys, "budgets_now", "budgets", 1) }

const updateKeySQL = `
UPDATE api_keys
   SET project_id = $2, name = $3, display = $4, models = $5, allowed_cidrs = $6,
       allow_unpriced = $7, tags = $8, created_by = $9, expires_at = $10, revoked_at = $11, revoked_reason = $12,
       stopped_at = $13, enabled_at = $14, enabled_by = $15, enabled_reason = $16, allow_provider_objects = $17,
       purpose = $18, owner = $19, sensitivity = $20, rotate_every_s = $21,
       disabled_at = $22, disabled_by = $23, disabled_reason = $24, archived_at = $25, policy = $26, client = $27,
       keep_responses = $28, owner_id = nullif($29, ''), tokens_from = $30,
       overrun_tokens = CASE WHEN enabled_at IS DISTINCT FROM $14 THEN 0 ELSE overrun_tokens END,
       overrun_nano = CASE WHEN enabled_at IS DISTINCT FROM $14 THEN 0 ELSE overrun_nano END,
       version = version + 1
 WHERE id = $1`

// UpdateKey implements billing.Keys. It locks the row, because settlements add to the
// overrun and can stop the key. The key's own budgets become those that change leaves in
// place; any that change removes are archived.
func (s *Store) UpdateKey(ctx context.Context, id billing.KeyID, change func(*billing.Key) error, notes ...*billing.Change) (
	k billing.Key, err error,
) {
	const byID = keySelect + " WHERE k.id = $1 FOR NO KEY UPDATE OF k"
	err = s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		k, err = one(ctx, tx, scanKey, withoutRaises(byID), id)
		if errors.Is(err, pgx.ErrNoRows) {
			return &billing.NotFoundError{What: "key", ID: string(id)}
		}
		if err != nil {
			return err
		}
		project, archived := k.ProjectID, k.ArchivedAt
		if err := change(&k); err != nil {
			return err
		}
		k.ID = id
		if k.ProjectID != project {
			if err := mustExist(ctx, tx, billing.ScopeProject, k.ProjectID); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, updateKeySQL, k.ID, k.ProjectID, billing.CleanText(k.Name), billing.CleanText(k.Display),
			billing.CleanTexts(k.Models), cidrs(k), k.AllowUnpriced, billing.CleanTags(k.Tags), billing.CleanText(k.CreatedBy),
			orNull(k.ExpiresAt),
			orNull(k.RevokedAt), billing.CleanText(k.RevokedReason),
			orNull(k.StoppedAt), orNull(k.EnabledAt), billing.CleanText(k.EnabledBy), billing.CleanText(k.EnabledReason),
			k.AllowProviderObjects, billing.CleanText(k.Purpose), billing.CleanText(k.Address),
			cmp.Or(k.Sensitivity, billing.SensitivityNormal), int64(k.RotateEvery/time.Second),
			orNull(k.DisabledAt), billing.CleanText(k.DisabledBy), billing.CleanText(k.DisabledReason), orNull(k.ArchivedAt),
			k.Policies.Key, cmp.Or(k.Client, billing.ClientServer), k.KeepResponses, k.OwnerID, orNull(k.TokensFrom)); err != nil {
			return err
		}
		if archived.IsZero() && !k.ArchivedAt.IsZero() {
			if _, err := destroySecrets(ctx, tx, billing.ScopeKey, string(k.ID)); err != nil {
				return err
			}
		}
		if err := errors.Join(keepBudgets(ctx, tx, k), note(ctx, tx, notes)); err != nil {
			return err
		}
		k, err = one(ctx, tx, scanKey, byID, id)
		return err
	})
	if err != nil {
		return billing.Key{}, err
	}
	return k, nil
}

// touchSQL locks the rows in order of id, like everything else that changes keys.
const touchSQL = `
WITH used AS (
  SELECT * FROM unnest($1::text[], $2::timestamptz[]) AS u (id, at)
), locked AS MATERIALIZED (
  SELECT k.id FROM api_keys k JOIN used USING (id)
   WHERE k.last_used_at IS NULL OR k.last_used_at < used.at
   ORDER BY k.id FOR NO KEY UPDATE OF k
)
UPDATE api_keys k SET last_used_at = greatest(k.last_used_at, used.at)
  FROM used JOIN locked USING (id)
 WHERE k.id = used.id`

// TouchKeys implements billing.Keys.
func (s *Store) TouchKeys(ctx context.Context, used map[billing.KeyID]time.Time) error {
	if len(used) == 0 {
		return nil
	}
	ids, times := make([]string, 0, len(used)), make([]time.Time, 0, len(used))
	for id, at := range used {
		ids, times = append(ids, string(id)), append(times, at)
	}
	return s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, touchSQL, ids, times)
		return err
	})
}

func cidrs(k billing.Key) []string {
	texts := make([]string, len(k.AllowedCIDRs))
	for i, p := range k.AllowedCIDRs {
		texts[i] = p.String()
	}
	return texts
}
