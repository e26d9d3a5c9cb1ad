-- What finance asks beyond what was spent by whom: budgets and how they stand, prices,
-- months, rows that were refused, requests that were; and of each row what is known.

-- Requests that were answered with an error of our own, by hour. They cost nothing, so
-- they are no rows of the ledger; they are counted in memory and added from time to time.
CREATE TABLE refusals (
  hour       TEXT NOT NULL,
  key_id     TEXT NOT NULL, -- '' where no key was known
  project_id TEXT NOT NULL,
  team_id    TEXT NOT NULL,
  model      TEXT NOT NULL, -- that was asked for; '' where that is no name we know
  code       TEXT NOT NULL,
  requests   INTEGER NOT NULL CHECK (requests > 0),
  PRIMARY KEY (hour, key_id, model, code, project_id, team_id)
) STRICT, WITHOUT ROWID;

DROP VIEW spend;
CREATE VIEW spend AS
SELECT e.report_day AS day, e.occurred_at, e.kind, e.request_id, e.attempt, e.final,
       coalesce(t.name, e.team_id) AS team, coalesce(p.name, e.project_id) AS project, coalesce(k.name, e.key_id) AS key_name, e.cost_center, e.environment,
       e.end_user, e.tags, e.requested_model, e.provider, e.model, e.service_tier, e.route_reason,
       e.status, e.error_kind, e.streamed, e.usage_source, e.pricing,
       e.input_tokens, e.cache_read_tokens, e.cache_write_tokens, e.output_tokens,
       e.input_tokens + e.cache_read_tokens + e.cache_write_tokens + e.output_tokens AS total_tokens,
       e.overrun_tokens,
       e.price_id, e.input_price_nano / 1e9 AS usd_per_million_input, e.output_price_nano / 1e9 AS usd_per_million_output,
       e.cost_nano / 1e9 AS cost_usd, e.cost_nano,
       e.baseline_cost_nano / 1e9 AS baseline_cost_usd, e.provider_cost_nano / 1e9 AS provider_cost_usd,
       e.reason, e.actor, e.adjusts_event, e.adjusts_period,
       e.overrun_nano / 1e9 AS overrun_usd, e.overrun_nano,
       e.provider_cost_nano, e.disputed OR e.status = 'disputed' AS disputed, e.reported, e.fees,
       e.region, e.upstream_credential, e.endpoint, e.session, e.bytes_in, e.bytes_out, e.first_token_ms, e.took_ms,
       lower(hex(e.fingerprint)) AS fingerprint, lower(hex(e.prefixes)) AS prefixes,
       e.event_id, e.key_id, e.project_id, e.team_id, substr(e.report_day, 1, 7) AS month, e.provider_request_id,
       e.reasoning_tokens, e.cache_write_1h_tokens, e.audio_input_tokens, e.audio_output_tokens,
       e.cache_read_price_nano / 1e9 AS usd_per_million_cache_read, e.cache_write_price_nano / 1e9 AS usd_per_million_cache_write,
       e.input_cost_nano / 1e9 AS input_cost_usd, e.cache_read_cost_nano / 1e9 AS cache_read_cost_usd,
       e.cache_write_cost_nano / 1e9 AS cache_write_cost_usd, e.output_cost_nano / 1e9 AS output_cost_usd,
       e.fee_nano / 1e9 AS fee_usd,
       e.input_cost_nano, e.cache_read_cost_nano, e.cache_write_cost_nano, e.output_cost_nano, e.fee_nano, e.baseline_cost_nano,
       CASE WHEN e.kind = 'usage' AND e.pricing = 'priced' THEN (round((e.cache_read_tokens + e.cache_write_tokens) * e.input_price_nano / 1e6) - coalesce(e.cache_read_cost_nano, 0) - coalesce(e.cache_write_cost_nano, 0)) / 1e9 END AS cache_savings_usd,
       e.recorded_at, e.answered_model, e.unpriced_members
  FROM spend_events e
  LEFT JOIN teams t ON t.id = e.team_id
  LEFT JOIN projects p ON p.id = e.project_id
  LEFT JOIN api_keys k ON k.id = e.key_id;

DROP VIEW spend_by_day;
CREATE VIEW spend_by_day AS
SELECT d.report_day AS day, d.month, coalesce(t.name, d.team_id) AS team, coalesce(p.name, d.project_id) AS project, coalesce(k.name, d.key_id) AS key_name, d.cost_center, d.environment,
       d.provider, d.model, d.kind, d.requests, d.attempts, d.errors,
       d.input_tokens + d.cache_read_tokens + d.cache_write_tokens + d.output_tokens AS tokens,
       d.input_tokens, d.cache_read_tokens, d.cache_write_tokens, d.output_tokens, d.overrun_tokens,
       d.cost_nano / 1e9 AS cost_usd, d.cost_nano,
       (d.baseline_cost_nano - d.cost_nano) / 1e9 AS routing_savings_usd,
       d.pricing, d.usage_source,
       d.overrun_nano / 1e9 AS overrun_usd, d.overrun_nano,
       d.key_id, d.project_id, d.team_id, d.price_id,
       d.input_cost_nano / 1e9 AS input_cost_usd, d.cache_read_cost_nano / 1e9 AS cache_read_cost_usd,
       d.cache_write_cost_nano / 1e9 AS cache_write_cost_usd, d.output_cost_nano / 1e9 AS output_cost_usd, d.fee_nano / 1e9 AS fee_usd,
       d.input_cost_nano, d.cache_read_cost_nano, d.cache_write_cost_nano, d.output_cost_nano, d.fee_nano, d.baseline_cost_nano,
       CASE WHEN d.kind = 'usage' THEN (round((d.cache_read_tokens + d.cache_write_tokens) * r.input_nano / 1e6) - d.cache_read_cost_nano - d.cache_write_cost_nano) / 1e9 END AS cache_savings_usd
  FROM spend_daily d
  LEFT JOIN teams t ON t.id = d.team_id
  LEFT JOIN projects p ON p.id = d.project_id
  LEFT JOIN api_keys k ON k.id = d.key_id
  LEFT JOIN prices r ON r.id = d.price_id;

DROP VIEW spend_by_model_month;
CREATE VIEW spend_by_model_month AS
SELECT month, provider, model, sum(requests) AS requests, sum(input_tokens) AS input_tokens,
       sum(cache_read_tokens) AS cache_read_tokens, sum(cache_write_tokens) AS cache_write_tokens,
       sum(output_tokens) AS output_tokens,
       sum(cost_nano) / 1e9 AS cost_usd, sum(cost_nano) AS cost_nano,
       round(sum(cost_nano) FILTER (WHERE pricing <> 'unpriced') / 1e3
             / nullif(sum(input_tokens + cache_read_tokens + cache_write_tokens + output_tokens) FILTER (WHERE pricing <> 'unpriced'), 0), 4) AS usd_per_million_tokens,
       sum(overrun_tokens) AS overrun_tokens, sum(overrun_nano) / 1e9 AS overrun_usd, sum(overrun_nano) AS overrun_nano,
       sum(attempts) AS attempts, sum(errors) AS errors, coalesce(sum(requests) FILTER (WHERE pricing = 'unpriced'), 0) AS unpriced_requests,
       sum(baseline_cost_nano - cost_nano) / 1e9 AS routing_savings_usd, coalesce(sum(cache_savings_usd), 0) AS cache_savings_usd,
       sum(input_cost_nano) / 1e9 AS input_cost_usd, sum(cache_read_cost_nano) / 1e9 AS cache_read_cost_usd,
       sum(cache_write_cost_nano) / 1e9 AS cache_write_cost_usd, sum(output_cost_nano) / 1e9 AS output_cost_usd, sum(fee_nano) / 1e9 AS fee_usd
  FROM spend_by_day
 GROUP BY month, provider, model;

CREATE VIEW price_list AS
SELECT p.id AS price_id, p.provider, p.model, p.service_tier, p.min_input_tokens, p.valid_from,
       (SELECT min(n.valid_from) FROM prices n WHERE n.provider = p.provider AND n.model = p.model AND n.service_tier = p.service_tier
           AND n.valid_from > p.valid_from) AS valid_until,
       p.input_nano / 1e9 AS usd_per_million_input,
       p.cache_read_nano / 1e9 AS usd_per_million_cache_read,
       p.cache_write_nano / 1e9 AS usd_per_million_cache_write,
       p.cache_write_1h_nano / 1e9 AS usd_per_million_cache_write_1h,
       p.output_nano / 1e9 AS usd_per_million_output,
       p.reasoning_nano / 1e9 AS usd_per_million_reasoning,
       p.audio_input_nano / 1e9 AS usd_per_million_audio_input,
       p.audio_output_nano / 1e9 AS usd_per_million_audio_output,
       p.request_fee_nano / 1e9 AS usd_per_request, p.source, p.created_at AS recorded_at
  FROM prices p;

CREATE VIEW periods AS
SELECT m.month, CASE WHEN b.archived_at IS NOT NULL THEN 'archived' ELSE coalesce(b.status, 'open') END AS status,
       coalesce(d.requests, 0) AS requests, coalesce(d.cost_nano, 0) / 1e9 AS cost_usd, coalesce(d.cost_nano, 0) AS cost_nano,
       b.ledger_rows AS closed_rows, b.ledger_nano / 1e9 AS closed_usd, b.ledger_nano AS closed_nano,
       b.ledger_unpriced AS closed_unpriced, b.ledger_sha256 AS closed_sha256, b.closed_at, b.closed_by, b.archived_at, b.archived_by
  FROM (SELECT month FROM spend_daily UNION SELECT substr(period, 1, 7) FROM billing_periods) AS m
  LEFT JOIN (SELECT month, sum(requests) AS requests, sum(cost_nano) AS cost_nano FROM spend_daily GROUP BY month) AS d ON d.month = m.month
  LEFT JOIN billing_periods b ON b.period = m.month || '-01';

CREATE VIEW closings AS
SELECT substr(period, 1, 7) AS month, action, changed_at, actor, reason, ledger_rows AS closed_rows,
       ledger_nano / 1e9 AS closed_usd, ledger_nano AS closed_nano, ledger_unpriced AS closed_unpriced, ledger_sha256 AS closed_sha256
  FROM period_changes;

CREATE VIEW rejected_rows AS
SELECT r.rejected_at, r.occurred_at, r.request_id, r.attempt, coalesce(t.name, r.team_id) AS team, coalesce(p.name, r.project_id) AS project, coalesce(k.name, r.key_id) AS key_name,
       r.key_id, r.tokens, r.nano / 1e9 AS cost_usd, r.nano AS cost_nano, r.reason, r.booked_at, r.booked_by
  FROM spend_rejects r
  LEFT JOIN teams t ON t.id = r.team_id
  LEFT JOIN projects p ON p.id = r.project_id
  LEFT JOIN api_keys k ON k.id = r.key_id;

CREATE VIEW refused_requests AS
SELECT r.hour, coalesce(t.name, r.team_id) AS team, coalesce(p.name, r.project_id) AS project, coalesce(k.name, r.key_id) AS key_name, r.key_id, r.model, r.code, r.requests
  FROM refusals r
  LEFT JOIN teams t ON t.id = r.team_id
  LEFT JOIN projects p ON p.id = r.project_id
  LEFT JOIN api_keys k ON k.id = r.key_id;

-- The window of a budget that now is in is the one of its counter, found by how long it
-- is; where nothing was used yet there is none, and it is worked out in UTC. SQLite knows
-- no other zone: there it is not known until something is used.
CREATE VIEW budget_status AS
WITH now AS (
  SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now') AS at, strftime('%Y', 'now') AS year, CAST(strftime('%m', 'now') AS INTEGER) AS month
), counted AS (
  SELECT b.*, coalesce(nullif(b.zone, ''), 'UTC') AS place, CASE b.scope WHEN 'org' THEN 'org' WHEN 'team' THEN t.name WHEN 'project' THEN coalesce(pt.name, p.team_id) || '/' || p.name ELSE k.name END AS name, (
           SELECT c.window_start FROM budget_counters c, now
            WHERE c.budget_id = b.id AND c.window_start <= now.at AND c.window_end > now.at
              AND julianday(c.window_end) - julianday(c.window_start) BETWEEN
                  CASE b.period WHEN 'day' THEN 0 WHEN 'week' THEN 4 WHEN 'month' THEN 26 WHEN 'quarter' THEN 80 WHEN 'year' THEN 350 ELSE 10000 END AND
                  CASE b.period WHEN 'day' THEN 3 WHEN 'week' THEN 9 WHEN 'month' THEN 33 WHEN 'quarter' THEN 95 WHEN 'year' THEN 380 ELSE 1e9 END
            ORDER BY c.window_start DESC LIMIT 1) AS counter
    FROM budgets b
    LEFT JOIN teams t ON b.scope = 'team' AND t.id = b.scope_id
    LEFT JOIN projects p ON b.scope = 'project' AND p.id = b.scope_id
    LEFT JOIN teams pt ON pt.id = p.team_id
    LEFT JOIN api_keys k ON b.scope = 'key' AND k.id = b.scope_id
   WHERE b.archived_at IS NULL
), bounded AS (
  SELECT b.*, c.used_tokens, c.used_nano, c.forgiven_tokens, c.forgiven_nano,
         c.held_tokens + (SELECT coalesce(sum(busy_tokens), 0) FROM leases l WHERE l.budget_id = b.id AND l.window_start = c.window_start) AS held_tokens,
         c.held_nano + (SELECT coalesce(sum(busy_nano), 0) FROM leases l WHERE l.budget_id = b.id AND l.window_start = c.window_start) AS held_nano,
         CASE WHEN c.budget_id IS NOT NULL THEN c.window_start WHEN b.period = 'once' THEN '0001-01-01T00:00:00.000000000Z'
              WHEN b.place = 'UTC' THEN CASE b.period WHEN 'day' THEN date('now') WHEN 'week' THEN date('now', 'weekday 0', '-6 days')
                WHEN 'month' THEN date('now', 'start of month') WHEN 'quarter' THEN printf('%s-%02d-01', now.year, (now.month - 1) / 3 * 3 + 1)
                ELSE date('now', 'start of year') END || 'T00:00:00.000000000Z' END AS starts,
         CASE WHEN c.budget_id IS NOT NULL THEN c.window_end WHEN b.period = 'once' THEN '9999-12-31T23:59:59.999999999Z'
              WHEN b.place = 'UTC' THEN CASE b.period WHEN 'day' THEN date('now', '+1 day') WHEN 'week' THEN date('now', 'weekday 0', '+1 day')
                WHEN 'month' THEN date('now', 'start of month', '+1 month')
                WHEN 'quarter' THEN date(printf('%s-%02d-01', now.year, (now.month - 1) / 3 * 3 + 1), '+3 months')
                ELSE date('now', 'start of year', '+1 year') END || 'T00:00:00.000000000Z' END AS ends
    FROM counted b CROSS JOIN now
    LEFT JOIN budget_counters c ON c.budget_id = b.id AND c.window_start = b.counter
), moments AS (
  SELECT tokens, nano, key_id, project_id, team_id, occurred_at FROM spend_moments
  UNION ALL
  SELECT tokens, nano, key_id, project_id, team_id, occurred_at FROM spend_rejects WHERE booked_at IS NULL
), used AS (
  SELECT b.*,
         CASE WHEN b.counter IS NOT NULL THEN b.used_tokens ELSE (
           SELECT coalesce(sum(m.tokens), 0) FROM moments m WHERE m.occurred_at >= b.starts AND m.occurred_at < b.ends
              AND CASE b.scope WHEN 'key' THEN m.key_id WHEN 'project' THEN m.project_id WHEN 'team' THEN m.team_id ELSE 'org' END = b.scope_id) END AS tokens,
         CASE WHEN b.counter IS NOT NULL THEN b.used_nano ELSE (
           SELECT coalesce(sum(m.nano), 0) FROM moments m WHERE m.occurred_at >= b.starts AND m.occurred_at < b.ends
              AND CASE b.scope WHEN 'key' THEN m.key_id WHEN 'project' THEN m.project_id WHEN 'team' THEN m.team_id ELSE 'org' END = b.scope_id) END AS nano,
         CASE WHEN b.period <> 'once' THEN (julianday('now') - julianday(b.starts)) / (julianday(b.ends) - julianday(b.starts)) END AS elapsed,
         CASE WHEN b.period = 'once' THEN 'none: it never resets'
              WHEN b.starts IS NULL THEN 'none: nothing was used yet'
              WHEN julianday('now') - julianday(b.starts) < min(1 / 24.0, (julianday(b.ends) - julianday(b.starts)) / 100) THEN 'none: it has just begun'
              ELSE 'linear: what is used so far, at the same pace until it resets' END AS method
    FROM bounded b
)
SELECT u.id AS budget_id, u.scope, u.scope_id, coalesce(u.name, u.scope_id) AS name, u.period, u.place AS zone,
       nullif(u.starts, '0001-01-01T00:00:00.000000000Z') AS window_start, nullif(u.ends, '9999-12-31T23:59:59.999999999Z') AS resets_at,
       round(100 * u.elapsed, 1) AS elapsed_percent,
       u.amount_nano / 1e9 AS limit_usd, u.nano / 1e9 AS used_usd, coalesce(u.held_nano, 0) / 1e9 AS held_usd,
       max(u.amount_nano - u.nano - coalesce(u.held_nano, 0), 0) / 1e9 AS remaining_usd,
       round(100.0 * u.nano / nullif(u.amount_nano, 0), 1) AS used_usd_percent,
       CASE WHEN u.method LIKE 'linear%' THEN u.nano / u.elapsed / 1e9 END AS forecast_usd,
       u.token_limit AS limit_tokens, u.tokens AS used_tokens, coalesce(u.held_tokens, 0) AS held_tokens,
       max(u.token_limit - u.tokens - coalesce(u.held_tokens, 0), 0) AS remaining_tokens,
       round(100.0 * u.tokens / nullif(u.token_limit, 0), 1) AS used_tokens_percent,
       CASE WHEN u.method LIKE 'linear%' THEN round(u.tokens / u.elapsed) END AS forecast_tokens,
       u.method AS forecast_method,
       u.amount_nano AS limit_nano, u.nano AS used_nano, coalesce(u.held_nano, 0) AS held_nano,
       coalesce(u.forgiven_nano, 0) / 1e9 AS forgiven_usd, coalesce(u.forgiven_tokens, 0) AS forgiven_tokens
  FROM used u;
