package sqlite

import (
	"context"
	"strings"

	"tallyroute/billing"
	"tallyroute/billing/breakdown"
)

// Spend implements billing.Reports.
func (s *Store) Spend(ctx context.Context, q billing.SpendQuery) (report billing.SpendReport, err error) {
	if err := q.Check(); err != nil {
		return report, err
	}
	err = s.inSnapshot(ctx, func(tx *session) error {
		report, err = breakdown.Spend(ctx, snapshot{tx}, days, q)
		return err
	})
	return report, err
}

const listPrices = `SELECT id, provider, model, service_tier, min_input_tokens, valid_from, input_nano, cache_read_nano,
  cache_write_nano, cache_write_1h_nano, output_nano, reasoning_nano, audio_input_nano, audio_output_nano, request_fee_nano, source
FROM prices
WHERE (?1 = '' OR provider = ?1) AND (?2 = '' OR model = ?2)
ORDER BY valid_from, provider, model, service_tier, min_input_tokens`

// ListPrices implements billing.PriceHistory.
func (s *Store) ListPrices(ctx context.Context, provider, model string) (list []billing.Price, err error) {
	err = s.read.rows(ctx, listPrices, []any{provider, model}, func(scan scanner) error {
		var p billing.Price
		err := scan(&p.ID, &p.Provider, &p.Model, &p.ServiceTier, &p.MinInput, instant{&p.Since}, &p.Input, &p.CacheRead, &p.CacheWrite,
			&p.CacheWrite1h, &p.Output, &p.Reasoning, &p.AudioInput, &p.AudioOutput, &p.Request, &p.Source)
		list = append(list, p)
		return err
	})
	return list, err
}

const pricedUsage = `SELECT e.provider, e.model, coalesce(e.price_id, ''), coalesce(r.service_tier, e.service_tier),
  coalesce(r.min_input_tokens, 0), count(*) FILTER (WHERE e.kind = 'usage'), sum(e.input_tokens), sum(e.cache_read_tokens),
  sum(e.cache_write_tokens), sum(e.output_tokens), sum(e.reasoning_tokens), sum(e.cache_write_1h_tokens), sum(e.audio_input_tokens),
  sum(e.audio_output_tokens), coalesce(sum(e.cost_nano - coalesce(e.fee_nano, 0)), 0)
FROM spend_events e
LEFT JOIN prices r ON r.id = e.price_id
WHERE e.report_day >= ?1 AND e.report_day < ?2 AND (e.kind = 'usage' OR e.kind = 'adjustment' AND e.adjusts_event IS NOT NULL)
  AND (?3 = '' OR e.provider = ?3) AND (?4 = '' OR e.model = ?4)
GROUP BY 1, 2, 3, 4, 5
ORDER BY 1, 2, 4, 5, 3`

// PricedUsage implements billing.PriceHistory.
func (s *Store) PricedUsage(ctx context.Context, q billing.SpendQuery, provider, model string) (list []billing.PricedUsage, err error) {
	from, to, err := q.Days()
	if err != nil {
		return nil, err
	}
	err = s.read.rows(ctx, pricedUsage, []any{from, to, provider, model}, func(scan scanner) error {
		var u billing.PricedUsage
		t := &u.Tokens
		err := scan(&u.Provider, &u.Model, &u.PriceID, &u.ServiceTier, &u.MinInput, &u.Attempts, &t.Input, &t.CacheRead,
			&t.CacheWrite, &t.Output, &t.Reasoning, &t.CacheWrite1h, &t.AudioInput, &t.AudioOutput, &u.Cost)
		list = append(list, u)
		return err
	})
	return list, err
}

// addRefusal stores the project and team of the key as they are now.
const addRefusal = `INSERT INTO refusals (hour, key_id, project_id, team_id, model, code, requests)
SELECT ?1, ?2, coalesce(k.project_id, ''), coalesce(p.team_id, ''), ?3, ?4, ?5
FROM (SELECT 1) LEFT JOIN api_keys k ON k.id = ?2 LEFT JOIN projects p ON p.id = k.project_id
WHERE true
ON CONFLICT (hour, key_id, model, code, project_id, team_id) DO UPDATE SET requests = requests + excluded.requests`

// AddRefusals implements billing.Refusals.
func (s *Store) AddRefusals(ctx context.Context, list []billing.Refused) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		for _, r := range list {
			_, err := tx.exec(ctx, addRefusal, stamp(r.Hour), billing.CleanText(string(r.KeyID)), billing.CleanText(r.Model),
				billing.CleanText(r.Code), r.Number)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// ofMinute selects a limit of a key's own per-minute budget; 0 means none.
func ofMinute(column string) string {
	return "coalesce((SELECT " + column +
		" FROM budgets WHERE scope = 'key' AND scope_id = u.a AND period = 'minute' " +
		"AND part = '' AND parent_id IS NULL AND archived_at IS NULL), 0)"
}

// usageGroup describes how hours are grouped: by two columns of the rows and of the refusals,
// how these are shown, and the limits and joins needed for that.
type usageGroup struct{ rows, refusals, shown, limits, joins string }

var usageGroups = map[billing.UsageBy]usageGroup{
	"key": {
		"key_id AS a, '' AS b", "key_id AS a, '' AS b", "coalesce(k.name, u.a), u.a",
		ofMinute("request_limit") + ", " + ofMinute("token_limit"), "LEFT JOIN api_keys k ON k.id = u.a",
	},
	"project": {
		"project_id AS a, team_id AS b", "project_id AS a, team_id AS b", "coalesce(t.name, u.b), coalesce(p.name, u.a)", "0, 0",
		"LEFT JOIN projects p ON p.id = u.a LEFT JOIN teams t ON t.id = u.b",
	},
	"model":    {"provider AS a, model AS b", "'(none)' AS a, model AS b", "u.a, u.b", "0, 0", ""},
	"provider": {"provider AS a, '' AS b", "'(none)' AS a, '' AS b", "u.a", "0, 0", ""},
}

const usageQuery = `WITH lines AS MATERIALIZED (
  SELECT substr(occurred_at, 1, 16) AS minute, substr(occurred_at, 1, 13) || ':00:00.000000000Z' AS hour, {rows},
    final, status, took_ms, first_token_ms, bytes_in, bytes_out,
    input_tokens + cache_read_tokens + cache_write_tokens + output_tokens AS tokens
  FROM spend_events
  WHERE occurred_at >= ?1 AND occurred_at < ?2 AND kind = 'usage'
    AND (?4 IS NULL OR team_id IN (SELECT value FROM json_each(?4)) OR project_id IN (SELECT value FROM json_each(?4)))
), used AS (
  SELECT hour, a, b, sum(final) AS requests, count(*) AS attempts, sum(status <> 'ok') AS errors,
    coalesce(sum(bytes_in) FILTER (WHERE final), 0) AS bytes_in, coalesce(sum(bytes_out), 0) AS bytes_out
  FROM lines GROUP BY hour, a, b
), took AS (
  SELECT hour, a, b, min(ms) FILTER (WHERE i >= 0.5 * n) AS p50, min(ms) FILTER (WHERE i >= 0.95 * n) AS p95
  FROM (SELECT hour, a, b, took_ms AS ms, row_number() OVER (PARTITION BY hour, a, b ORDER BY took_ms) AS i,
      count(*) OVER (PARTITION BY hour, a, b) AS n FROM lines WHERE status = 'ok' AND took_ms IS NOT NULL)
  GROUP BY hour, a, b
), first AS (
  SELECT hour, a, b, min(ms) FILTER (WHERE i >= 0.5 * n) AS p50, min(ms) FILTER (WHERE i >= 0.95 * n) AS p95
  FROM (SELECT hour, a, b, first_token_ms AS ms, row_number() OVER (PARTITION BY hour, a, b ORDER BY first_token_ms) AS i,
      count(*) OVER (PARTITION BY hour, a, b) AS n FROM lines WHERE status = 'ok' AND first_token_ms IS NOT NULL)
  GROUP BY hour, a, b
), peaks AS (
  SELECT hour, a, b, max(requests) AS requests, max(tokens) AS tokens
  FROM (SELECT hour, a, b, minute, sum(final) AS requests, sum(tokens) AS tokens FROM lines GROUP BY hour, a, b, minute)
  GROUP BY hour, a, b
), refused AS (
  SELECT hour, a, b, json_group_object(code, requests) AS codes
  FROM (SELECT hour, {refusals}, code, sum(requests) AS requests FROM refusals
    WHERE hour >= ?1 AND hour < ?2
      AND (?4 IS NULL OR team_id IN (SELECT value FROM json_each(?4)) OR project_id IN (SELECT value FROM json_each(?4)))
    GROUP BY 1, 2, 3, 4)
  GROUP BY hour, a, b
), u AS (
  SELECT hour, a, b, coalesce(used.requests, 0) AS requests, coalesce(attempts, 0) AS attempts, coalesce(errors, 0) AS errors,
    coalesce(codes, '{}') AS codes, took.p50 AS took50, took.p95 AS took95, first.p50 AS first50, first.p95 AS first95,
    coalesce(bytes_in, 0) AS bytes_in, coalesce(bytes_out, 0) AS bytes_out,
    coalesce(peaks.requests, 0) AS peak_requests, coalesce(peaks.tokens, 0) AS peak_tokens
  FROM used FULL JOIN refused USING (hour, a, b) LEFT JOIN peaks USING (hour, a, b)
  LEFT JOIN took USING (hour, a, b) LEFT JOIN first USING (hour, a, b)
)
SELECT u.hour, json_array({shown}), u.requests, u.attempts, u.errors, u.codes, u.took50, u.took95, u.first50, u.first95,
  u.bytes_in, u.bytes_out, u.peak_requests, u.peak_tokens, {limits}
FROM u {joins}
ORDER BY u.hour, u.attempts DESC, u.a, u.b
LIMIT ?3`

// Usage implements billing.UsageReports.
func (s *Store) Usage(ctx context.Context, q billing.UsageQuery) (list []billing.UsageRow, err error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	g := usageGroups[q.By]
	query := strings.NewReplacer("{rows}", g.rows, "{refusals}", g.refusals, "{shown}", g.shown, "{limits}", g.limits, "{joins}", g.joins).
		Replace(usageQuery)
	args := []any{stamp(q.From), stamp(q.To), billing.SpendQuery{Top: q.Lines}.Lines(), within(q.Within)}
	err = s.read.rows(ctx, query, args, func(scan scanner) error {
		var r billing.UsageRow
		err := scan(instant{&r.Hour}, jsonText{&r.Group}, &r.Requests, &r.Attempts, &r.Errors, jsonText{&r.Refused},
			&r.Took.P50, &r.Took.P95, &r.First.P50, &r.First.P95, &r.BytesIn, &r.BytesOut, &r.PeakRequests, &r.PeakTokens,
			&r.LimitRequests, &r.LimitTokens)
		list = append(list, r)
		return err
	})
	return list, err
}
