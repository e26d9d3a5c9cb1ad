-- Limits of a part of what a key, project, team or the organisation uses: of models, of
-- credentials at providers, or of each user, end user or value of a tag. What is counted
-- for one name is a budget of its own below the one that was set, made when it is first
-- used. The rows of the ledger say with which of these they count.

DROP VIEW budget_status;
DROP VIEW budgets_now;
DROP VIEW spend_moments;

ALTER TABLE budgets ADD COLUMN part TEXT NOT NULL DEFAULT ''
  CHECK (part IN ('', 'model', 'credential', 'user', 'end_user') OR part GLOB 'tag:?*' AND length(part) <= 68);
ALTER TABLE budgets ADD COLUMN named TEXT NOT NULL DEFAULT '';
ALTER TABLE budgets ADD COLUMN parent_id TEXT REFERENCES budgets CHECK (parent_id IS NULL OR part <> '');
-- How many budgets are below it.
ALTER TABLE budgets ADD COLUMN names INTEGER NOT NULL DEFAULT 0 CHECK (names >= 0);
CREATE INDEX budgets_parent ON budgets (parent_id) WHERE parent_id IS NOT NULL;

ALTER TABLE spend_events ADD COLUMN limits TEXT; -- a list as JSON
ALTER TABLE spend_rejects ADD COLUMN limits TEXT;

-- What was used and when, whether the row is still there or was archived.
CREATE VIEW spend_moments AS
SELECT report_day, occurred_at, adjusts_period IS NOT NULL AS moved, key_id, project_id, team_id,
       input_tokens + cache_read_tokens + cache_write_tokens + output_tokens AS tokens, cost_nano AS nano,
       kind = 'usage' AND final AS requests, limits
  FROM spend_events
UNION ALL
SELECT report_day, slot, moved, key_id, project_id, team_id, tokens, nano, requests, NULL FROM spend_archived;

-- Every budget with its limits as they are now. A raise of one is one of each below it.
CREATE VIEW budgets_now AS
SELECT b.id, b.scope, b.scope_id, b.period, b.zone, b.starts, b.near_action, b.thresholds, b.archived_at, b.created_at,
       min(b.token_limit + coalesce(r.tokens, 0), 1000000000000000) AS token_limit,
       min(b.amount_nano + coalesce(r.nano, 0), 1000000000000000000) AS amount_nano,
       min(b.request_limit + coalesce(r.requests, 0), 1000000000000000) AS request_limit,
       r.tokens IS NOT NULL AS raised, b.part, b.named, b.parent_id
  FROM budgets b
  LEFT JOIN (
    SELECT budget_id, sum(tokens) AS tokens, sum(nano) AS nano, sum(requests) AS requests
      FROM budget_raises WHERE begins_at <= strftime('%Y-%m-%dT%H:%M:%fZ', 'now') AND ends_at > strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
     GROUP BY budget_id
  ) AS r ON r.budget_id = coalesce(b.parent_id, b.id);

-- What was set for a part is shown by name, as far as a name was used.
CREATE VIEW budget_status AS
WITH now AS (
  SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now') AS at, strftime('%Y-%m-%dT%H:%M', 'now') AS minute
), counted AS (
  SELECT b.*, coalesce(nullif(b.zone, ''), 'UTC') AS place, CASE b.scope WHEN 'org' THEN 'org' WHEN 'team' THEN t.name WHEN 'project' THEN coalesce(pt.name, p.team_id) || '/' || p.name ELSE k.name END AS name, (
           SELECT c.window_start FROM budget_counters c, now
            WHERE c.budget_id = b.id AND c.window_start <= now.at AND c.window_end > now.at
              AND julianday(c.window_end) - julianday(c.window_start) BETWEEN
                  CASE b.period WHEN 'minute' THEN 0 WHEN 'day' THEN 0.1 WHEN 'week' THEN 4 WHEN 'month' THEN 26 WHEN 'quarter' THEN 80 WHEN 'year' THEN 350 ELSE 10000 END AND
                  CASE b.period WHEN 'minute' THEN 0.1 WHEN 'day' THEN 3 WHEN 'week' THEN 9 WHEN 'month' THEN 33 WHEN 'quarter' THEN 95 WHEN 'year' THEN 380 ELSE 1e9 END
            ORDER BY c.window_start DESC LIMIT 1) AS counter,
         date('now', printf('-%d days', max(CAST(substr(b.starts, 4) AS INTEGER) - 1, 0)), 'start of month',
              printf('-%d months', max(CAST(substr(b.starts, 1, 2) AS INTEGER) - 1, 0))) AS month,
         printf('+%d months', max(CAST(substr(b.starts, 1, 2) AS INTEGER) - 1, 0)) AS months,
         printf('+%d days', max(CAST(substr(b.starts, 4) AS INTEGER) - 1, 0)) AS days
    FROM budgets_now b
    LEFT JOIN teams t ON b.scope = 'team' AND t.id = b.scope_id
    LEFT JOIN projects p ON b.scope = 'project' AND p.id = b.scope_id
    LEFT JOIN teams pt ON pt.id = p.team_id
    LEFT JOIN api_keys k ON b.scope = 'key' AND k.id = b.scope_id
   WHERE b.archived_at IS NULL AND b.period <> 'concurrent' AND (b.part = '' OR b.parent_id IS NOT NULL)
), bounded AS (
  SELECT b.*, c.used_tokens, c.used_nano, c.used_requests, c.forgiven_tokens, c.forgiven_nano, c.forgiven_requests,
         c.held_tokens + (SELECT coalesce(sum(busy_tokens), 0) FROM leases l WHERE l.budget_id = b.id AND l.window_start = c.window_start) AS held_tokens,
         c.held_nano + (SELECT coalesce(sum(busy_nano), 0) FROM leases l WHERE l.budget_id = b.id AND l.window_start = c.window_start) AS held_nano,
         c.held_requests + (SELECT coalesce(sum(busy_requests), 0) FROM leases l WHERE l.budget_id = b.id AND l.window_start = c.window_start) AS held_requests,
         CASE WHEN c.budget_id IS NOT NULL THEN c.window_start WHEN b.period = 'once' THEN '0001-01-01T00:00:00.000000000Z'
              WHEN b.period = 'minute' THEN now.minute || ':00.000000000Z'
              WHEN b.place = 'UTC' THEN CASE b.period WHEN 'day' THEN date('now') WHEN 'week' THEN date('now', 'weekday 0', '-6 days')
                WHEN 'month' THEN date(b.month, b.months, b.days)
                WHEN 'quarter' THEN date(b.month, printf('-%d months', (CAST(strftime('%m', b.month) AS INTEGER) - 1) % 3), b.months, b.days)
                ELSE date(b.month, 'start of year', b.months, b.days) END || 'T00:00:00.000000000Z' END AS begins,
         CASE WHEN c.budget_id IS NOT NULL THEN c.window_end WHEN b.period = 'once' THEN '9999-12-31T23:59:59.999999999Z'
              WHEN b.period = 'minute' THEN strftime('%Y-%m-%dT%H:%M', 'now', '+1 minute') || ':00.000000000Z'
              WHEN b.place = 'UTC' THEN CASE b.period WHEN 'day' THEN date('now', '+1 day') WHEN 'week' THEN date('now', 'weekday 0', '+1 day')
                WHEN 'month' THEN date(b.month, '+1 month', b.months, b.days)
                WHEN 'quarter' THEN date(b.month, printf('-%d months', (CAST(strftime('%m', b.month) AS INTEGER) - 1) % 3), '+3 months', b.months,
                  b.days)
                ELSE date(b.month, 'start of year', '+1 year', b.months, b.days) END || 'T00:00:00.000000000Z' END AS ends
    FROM counted b CROSS JOIN now
    LEFT JOIN budget_counters c ON c.budget_id = b.id AND c.window_start = b.counter
), moments AS (
  SELECT tokens, nano, requests, key_id, project_id, team_id, occurred_at FROM spend_moments
  UNION ALL
  SELECT tokens, nano, requests, key_id, project_id, team_id, occurred_at FROM spend_rejects WHERE booked_at IS NULL
), used AS (
  SELECT b.*,
         CASE WHEN b.counter IS NOT NULL THEN b.used_tokens WHEN b.part <> '' THEN 0 ELSE (
           SELECT coalesce(sum(m.tokens), 0) FROM moments m WHERE m.occurred_at >= b.begins AND m.occurred_at < b.ends
              AND CASE b.scope WHEN 'key' THEN m.key_id WHEN 'project' THEN m.project_id WHEN 'team' THEN m.team_id ELSE 'org' END = b.scope_id) END AS tokens,
         CASE WHEN b.counter IS NOT NULL THEN b.used_nano WHEN b.part <> '' THEN 0 ELSE (
           SELECT coalesce(sum(m.nano), 0) FROM moments m WHERE m.occurred_at >= b.begins AND m.occurred_at < b.ends
              AND CASE b.scope WHEN 'key' THEN m.key_id WHEN 'project' THEN m.project_id WHEN 'team' THEN m.team_id ELSE 'org' END = b.scope_id) END AS nano,
         CASE WHEN b.counter IS NOT NULL THEN b.used_requests WHEN b.part <> '' THEN 0 ELSE (
           SELECT coalesce(sum(m.requests), 0) FROM moments m WHERE m.occurred_at >= b.begins AND m.occurred_at < b.ends
              AND CASE b.scope WHEN 'key' THEN m.key_id WHEN 'project' THEN m.project_id WHEN 'team' THEN m.team_id ELSE 'org' END = b.scope_id) END AS requests,
         CASE WHEN b.period <> 'once' THEN (julianday('now') - julianday(b.begins)) / (julianday(b.ends) - julianday(b.begins)) END AS elapsed,
         CASE WHEN b.period = 'once' THEN 'none: it never resets'
              WHEN b.begins IS NULL THEN 'none: nothing was used yet'
              WHEN julianday('now') - julianday(b.begins) < min(1 / 24.0, (julianday(b.ends) - julianday(b.begins)) / 100) THEN 'none: it has just begun'
              ELSE 'linear: what is used so far, at the same pace until it resets' END AS method
    FROM bounded b
)
SELECT u.id AS budget_id, u.scope, u.scope_id, coalesce(u.name, u.scope_id) AS name, u.period, u.place AS zone,
       nullif(u.begins, '0001-01-01T00:00:00.000000000Z') AS window_start, nullif(u.ends, '9999-12-31T23:59:59.999999999Z') AS resets_at,
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
       coalesce(u.forgiven_nano, 0) / 1e9 AS forgiven_usd, coalesce(u.forgiven_tokens, 0) AS forgiven_tokens,
       u.request_limit AS limit_requests, u.requests AS used_requests, coalesce(u.held_requests, 0) AS held_requests,
       max(u.request_limit - u.requests - coalesce(u.held_requests, 0), 0) AS remaining_requests,
       round(100.0 * u.requests / nullif(u.request_limit, 0), 1) AS used_requests_percent,
       CASE WHEN u.method LIKE 'linear%' THEN round(u.requests / u.elapsed) END AS forecast_requests,
       coalesce(u.forgiven_requests, 0) AS forgiven_requests, u.near_action AS action, u.raised,
       u.part, u.named
  FROM used u;
