package postgres

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

// addRefusalsSQL records the current owners of keys. It writes in primary-key order, so that
// two writers cannot deadlock.
const addRefusalsSQL = `
INSERT INTO refusals AS r (hour, key_id, project_id, team_id, model, code, requests)
SELECT n.hour, n.key_id, coalesce(k.project_id, ''), coalesce(p.team_id, ''), n.model, n.code, n.requests
  FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::bigint[]) AS n (hour, key_id, model, code, requests)
  LEFT JOIN api_keys k ON k.id = n.key_id
  LEFT JOIN projects p ON p.id = k.project_id
 ORDER BY n.hour, n.key_id, n.model, n.code
ON CONFLICT (hour, key_id, model, code, project_id, team_id) DO UPDATE SET requests = r.requests + excluded.requests`

// AddRefusals implements billing.Refusals.
func (s *Store) AddRefusals(ctx context.Context, list []billing.Refused) error {
	hours, numbers := make([]time.Time, len(list)), make([]int64, len(list))
	keys, models, codes := make([]string, len(list)), make([]string, len(list)), make([]string, len(list))
	for i, r := range list {
		hours[i], numbers[i] = r.Hour, r.Number
		keys[i], models[i], codes[i] = billing.CleanText(string(r.KeyID)), billing.CleanText(r.Model), billing.CleanText(r.Code)
	}
	return s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, addRefusalsSQL, hours, keys, models, codes, numbers)
		return err
	})
}

// ofMinute returns the SQL for a limit of a key's own per-minute budget, 0 meaning none.
func ofMinute(column string) string {
	return "coalesce((SELECT " + column +
		" FROM budgets WHERE scope = 'key' AND scope_id = u.a AND period = 'minute' " +
		"AND part = '' AND parent_id IS NULL AND archived_at IS NULL), 0)"
}

// usageGroup is what usage is grouped by besides the hour: two columns of the rows and of
// the refusals, how they are shown, the limits to show, and the joins that this needs.
type usageGroup struct{ rows, refusals, shown, limits, joins string }

var usageGroups = map[billing.UsageBy]usageGroup{
	"key": {
		"key_id AS a, '' AS b", "key_id AS a, '' AS b", "coalesce(k.name, u.a), u.a",
		ofMinute("request_limit") + ", " + ofMinute("token_limit"), "LEFT JOIN api_keys k ON k.id = u.a",
	},
	"project": {
		"project_id AS a, team_id AS b", "project_id AS a, team_id AS b", "coalesce(t.name, u.b), coalesce(p.name, u.a)",
		"0::bigint, 0::bigint",
		"LEFT JOIN projects p ON p.id = u.a LEFT JOIN teams t ON t.id = u.b",
	},
	"model":    {"provider AS a, model AS b", "'(none)' AS a, model AS b", "u.a, u.b", "0::bigint, 0::bigint", ""},
	"provider": {"provider AS a, '' AS b", "'(none)' AS a, '' AS b", "u.a", "0::bigint, 0::bigint", ""},
}

const usageSQL = `
WITH rows AS (
  SELECT date_trunc('minute', occurred_at) AS minute, date_trunc('hour', occurred_at, 'UTC') AS hour, {rows},
         final, status, took_ms, first_token_ms, bytes_in, bytes_out,
         input_tokens + cache_read_tokens + cache_write_tokens + output_tokens AS tokens
    FROM spend_events
   WHERE occurred_at >= $1 AND occurred_at < $2 AND kind = 'usage'
     AND ($4::boolean OR team_id = ANY ($5) OR project_id = ANY ($6))
), used AS (
  SELECT hour, a, b, count(*) FILTER (WHERE final) AS requests, count(*) AS attempts, count(*) FILTER (WHERE status <> 'ok') AS errors,
         percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY took_ms) FILTER (WHERE status = 'ok') AS took,
         percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY first_token_ms) FILTER (WHERE status = 'ok') AS first,
         coalesce(sum(bytes_in) FILTER (WHERE final), 0)::bigint AS bytes_in, coalesce(sum(bytes_out), 0)::bigint AS bytes_out
    FROM rows GROUP BY hour, a, b
), peaks AS (
  SELECT hour, a, b, max(requests) AS requests, max(tokens)::bigint AS tokens
    FROM (SELECT hour, a, b, minute, count(*) FILTER (WHERE final) AS requests, sum(tokens) AS tokens
            FROM rows GROUP BY hour, a, b, minute) AS m
   GROUP BY hour, a, b
), refused AS (
  SELECT hour, a, b, jsonb_object_agg(code, requests) AS codes
    FROM (SELECT hour, {refusals}, code, sum(requests)::bigint AS requests
            FROM refusals
           WHERE hour >= $1 AND hour < $2 AND ($4::boolean OR team_id = ANY ($5) OR project_id = ANY ($6))
           GROUP BY 1, 2, 3, 4) AS r
   GROUP BY hour, a, b
), u AS (
  SELECT hour, a, b, coalesce(used.requests, 0) AS requests, coalesce(attempts, 0) AS attempts, coalesce(errors, 0) AS errors,
         coalesce(codes, '{}') AS codes, took, first, coalesce(bytes_in, 0) AS bytes_in, coalesce(bytes_out, 0) AS bytes_out,
         coalesce(peaks.requests, 0) AS peak_requests, coalesce(peaks.tokens, 0) AS peak_tokens
    FROM used FULL JOIN refused USING (hour, a, b) LEFT JOIN peaks USING (hour, a, b)
)
SELECT u.hour, ARRAY[{shown}]::text[], u.requests, u.attempts, u.errors, u.codes, u.took[1]::bigint, u.took[2]::bigint,
       u.first[1]::bigint, u.first[2]::bigint, u.bytes_in, u.bytes_out, u.peak_requests, u.peak_tokens, {limits}
  FROM u {joins}
 ORDER BY u.hour, u.attempts DESC, u.a, u.b
 LIMIT $3`

// Usage implements billing.UsageReports.
func (s *Store) Usage(ctx context.Context, q billing.UsageQuery) (list []billing.UsageRow, err error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	g := usageGroups[q.By]
	sql := strings.NewReplacer("{rows}", g.rows, "{refusals}", g.refusals, "{shown}", g.shown, "{limits}", g.limits, "{joins}", g.joins).
		Replace(usageSQL)
	everywhere, teams, projects := within(q.Within)
	err = s.wide(ctx, func(ctx context.Context, c querier) error {
		rows, err := c.Query(ctx, sql, q.From, q.To, billing.SpendQuery{Top: q.Lines}.Lines(), everywhere, teams, projects)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, scanUsage)
		return err
	})
	return list, err
}

func scanUsage(row pgx.CollectableRow) (r billing.UsageRow, err error) {
	var codes []byte
	err = row.Scan(&r.Hour, &r.Group, &r.Requests, &r.Attempts, &r.Errors, &codes, &r.Took.P50, &r.Took.P95, &r.First.P50, &r.First.P95,
		&r.BytesIn, &r.BytesOut, &r.PeakRequests, &r.PeakTokens, &r.LimitRequests, &r.LimitTokens)
	if err != nil {
		return r, err
	}
	r.Hour = r.Hour.UTC()
	return r, json.Unmarshal(codes, &r.Refused)
}
