-- Limits of a part of what a key, project, team or the organisation uses: of models, of
-- credentials at providers, or of each user, end user or value of a tag. What is counted
-- for one name is a budget of its own below the one that was set, made when it is first
-- used. The rows of the ledger say with which of these they count.

ALTER TABLE budgets
  ADD COLUMN part      text NOT NULL DEFAULT '' CHECK (part ~ '^(model|credential|user|end_user|tag:.{1,64})?$'),
  ADD COLUMN named     text NOT NULL DEFAULT '',
  ADD COLUMN parent_id text REFERENCES budgets ON DELETE RESTRICT CHECK (parent_id IS NULL OR part <> ''),
  -- How many budgets are below it.
  ADD COLUMN names     integer NOT NULL DEFAULT 0 CHECK (names >= 0);
CREATE INDEX budgets_parent ON budgets (parent_id) WHERE parent_id IS NOT NULL;

ALTER TABLE spend_events ADD COLUMN limits text[];
CREATE INDEX spend_events_limits ON spend_events USING gin (limits) WHERE limits IS NOT NULL;
ALTER TABLE spend_rejects ADD COLUMN limits text[];

CREATE OR REPLACE VIEW spend_moments AS
SELECT report_day, occurred_at, adjusts_period IS NOT NULL AS moved, key_id, project_id, team_id,
       input_tokens + cache_read_tokens + cache_write_tokens + output_tokens AS tokens, cost_nano AS nano,
       (kind = 'usage' AND final)::int::bigint AS requests, limits
  FROM spend_events
UNION ALL
SELECT report_day, slot, moved, key_id, project_id, team_id, tokens, nano, requests, NULL FROM spend_archived;

-- A raise of a budget is one of each that is below it.
CREATE OR REPLACE VIEW budgets_now AS
SELECT b.id, b.scope, b.scope_id, b.period, b.zone, b.starts, b.near_action, b.thresholds, b.archived_at, b.created_at,
       CASE WHEN b.token_limit IS NOT NULL THEN least(b.token_limit + coalesce(r.tokens, 0), 1000000000000000)::bigint END AS token_limit,
       CASE WHEN b.amount_nano IS NOT NULL THEN least(b.amount_nano + coalesce(r.nano, 0), 1000000000000000000)::bigint END AS amount_nano,
       CASE WHEN b.request_limit IS NOT NULL THEN least(b.request_limit + coalesce(r.requests, 0), 1000000000000000)::bigint END AS request_limit,
       r.tokens IS NOT NULL AS raised, b.part, b.named, b.parent_id
  FROM budgets b
  LEFT JOIN LATERAL (
    SELECT sum(tokens) AS tokens, sum(nano) AS nano, sum(requests) AS requests
      FROM budget_raises WHERE budget_id = coalesce(b.parent_id, b.id) AND begins_at <= now() AND ends_at > now()
  ) AS r ON true;

-- What was set for a part is shown by name, as far as a name was used.
CREATE OR REPLACE VIEW finance.budget_status AS
WITH counted AS (
  SELECT b.*, coalesce(nullif(b.zone, ''), 'UTC') AS place, CASE b.scope WHEN 'org' THEN 'org' WHEN 'team' THEN t.name WHEN 'project' THEN coalesce(pt.name, p.team_id) || '/' || p.name ELSE k.name END AS name,
         (substr(nullif(b.starts, ''), 4)::int - 1) * interval '1 day' AS days, (left(nullif(b.starts, ''), 2)::int - 1) * interval '1 month' AS months,
         c.budget_id IS NOT NULL AS open, c.window_start, c.window_end, c.used_tokens, c.used_nano, c.forgiven_tokens, c.forgiven_nano, c.used_requests, c.forgiven_requests,
         c.held_tokens + (SELECT coalesce(sum(l.busy_tokens), 0) FROM leases l
                           WHERE l.budget_id = c.budget_id AND l.window_start = c.window_start) AS held_tokens,
         c.held_nano + (SELECT coalesce(sum(l.busy_nano), 0) FROM leases l
                         WHERE l.budget_id = c.budget_id AND l.window_start = c.window_start) AS held_nano,
         c.held_requests + (SELECT coalesce(sum(l.busy_requests), 0) FROM leases l
                             WHERE l.budget_id = c.budget_id AND l.window_start = c.window_start) AS held_requests
    FROM budgets_now b
    LEFT JOIN LATERAL (
      SELECT * FROM budget_counters c
       WHERE c.budget_id = b.id AND c.window_start <= now() AND c.window_end > now()
         AND CASE WHEN b.period = 'once' OR NOT (isfinite(c.window_start) AND isfinite(c.window_end))
                  THEN b.period = 'once' AND NOT isfinite(c.window_end)
                  ELSE extract(epoch FROM c.window_end - c.window_start) / 86400 BETWEEN
                       CASE b.period WHEN 'minute' THEN 0 WHEN 'day' THEN 0.1 WHEN 'week' THEN 4 WHEN 'month' THEN 26 WHEN 'quarter' THEN 80 ELSE 350 END AND
                       CASE b.period WHEN 'minute' THEN 0.1 WHEN 'day' THEN 3 WHEN 'week' THEN 9 WHEN 'month' THEN 33 WHEN 'quarter' THEN 95 ELSE 380 END END
       ORDER BY c.window_start DESC
       LIMIT 1
    ) AS c ON true
    LEFT JOIN teams t ON b.scope = 'team' AND t.id = b.scope_id
    LEFT JOIN projects p ON b.scope = 'project' AND p.id = b.scope_id
    LEFT JOIN teams pt ON pt.id = p.team_id
    LEFT JOIN api_keys k ON b.scope = 'key' AND k.id = b.scope_id
   WHERE b.archived_at IS NULL AND b.period <> 'concurrent' AND (b.part = '' OR b.parent_id IS NOT NULL)
), bounded AS (
  SELECT c.*,
         CASE WHEN c.open THEN c.window_start WHEN c.period = 'once' THEN '-infinity'
              ELSE (date_trunc(c.period, now() AT TIME ZONE c.place - shift.days - shift.months) + shift.months + shift.days)
                   AT TIME ZONE c.place END AS begins,
         CASE WHEN c.open THEN c.window_end WHEN c.period = 'once' THEN 'infinity'
              ELSE (date_trunc(c.period, now() AT TIME ZONE c.place - shift.days - shift.months)
                    + CASE c.period WHEN 'quarter' THEN interval '3 months' ELSE ('1 ' || c.period)::interval END + shift.months + shift.days) AT TIME ZONE c.place END AS ends
    FROM counted c
   CROSS JOIN LATERAL (SELECT coalesce(c.days, interval '0') AS days, coalesce(c.months, interval '0') AS months) AS shift
), used AS (
  SELECT b.*, CASE WHEN b.open THEN b.used_tokens ELSE u.tokens END AS tokens, CASE WHEN b.open THEN b.used_nano ELSE u.nano END AS nano,
         CASE WHEN b.open THEN b.used_requests ELSE u.requests END AS requests,
         CASE WHEN NOT isfinite(b.ends) THEN NULL
              ELSE extract(epoch FROM now() - b.begins)::numeric / extract(epoch FROM b.ends - b.begins)::numeric END AS elapsed,
         CASE WHEN NOT isfinite(b.ends) THEN 'none: it never resets'
              WHEN now() - b.begins < least(interval '1 hour', (b.ends - b.begins) / 100) THEN 'none: it has just begun'
              ELSE 'linear: what is used so far, at the same pace until it resets' END AS method
    FROM bounded b
    LEFT JOIN LATERAL (
      SELECT coalesce(sum(s.tokens), 0)::bigint AS tokens, coalesce(sum(s.nano), 0)::bigint AS nano,
             coalesce(sum(s.requests), 0)::bigint AS requests
        FROM (
          SELECT tokens, nano, requests, key_id, project_id, team_id, occurred_at FROM spend_moments
           WHERE NOT isfinite(b.begins) OR report_day >= b.begins::date - 2
          UNION ALL
          SELECT tokens, nano, requests, key_id, project_id, team_id, occurred_at FROM spend_rejects WHERE booked_at IS NULL
        ) AS s
       WHERE s.occurred_at >= b.begins AND s.occurred_at < b.ends
         AND CASE b.scope WHEN 'key' THEN s.key_id WHEN 'project' THEN s.project_id WHEN 'team' THEN s.team_id ELSE 'org' END = b.scope_id
         AND NOT b.open AND b.part = '' AND EXISTS (
           SELECT FROM spend_daily d
            WHERE (NOT isfinite(b.begins) OR d.report_day >= b.begins::date - 2)
              AND CASE b.scope WHEN 'key' THEN d.key_id WHEN 'project' THEN d.project_id WHEN 'team' THEN d.team_id ELSE 'org' END = b.scope_id)
    ) AS u ON true
)
SELECT u.id AS budget_id, u.scope, u.scope_id, coalesce(u.name, u.scope_id) AS name, u.period, u.place AS zone,
       nullif(u.begins, '-infinity') AS window_start, nullif(u.ends, 'infinity') AS resets_at, round(100 * u.elapsed, 1) AS elapsed_percent,
       finance.usd(u.amount_nano) AS limit_usd, finance.usd(coalesce(u.nano, 0)) AS used_usd, finance.usd(coalesce(u.held_nano, 0)) AS held_usd,
       finance.usd(greatest(u.amount_nano - coalesce(u.nano, 0) - coalesce(u.held_nano, 0), 0)) AS remaining_usd,
       round(100 * coalesce(u.nano, 0)::numeric / nullif(u.amount_nano, 0), 1) AS used_usd_percent,
       CASE WHEN u.method LIKE 'linear%' THEN round(coalesce(u.nano, 0) / u.elapsed / 1000000000, 9) END AS forecast_usd,
       u.token_limit AS limit_tokens, coalesce(u.tokens, 0) AS used_tokens, coalesce(u.held_tokens, 0)::bigint AS held_tokens,
       greatest(u.token_limit - coalesce(u.tokens, 0) - coalesce(u.held_tokens, 0), 0)::bigint AS remaining_tokens,
       round(100 * coalesce(u.tokens, 0)::numeric / nullif(u.token_limit, 0), 1) AS used_tokens_percent,
       CASE WHEN u.method LIKE 'linear%' THEN round(coalesce(u.tokens, 0) / u.elapsed) END AS forecast_tokens,
       u.method AS forecast_method,
       u.amount_nano AS limit_nano, coalesce(u.nano, 0) AS used_nano, coalesce(u.held_nano, 0)::bigint AS held_nano,
       finance.usd(coalesce(u.forgiven_nano, 0)) AS forgiven_usd, coalesce(u.forgiven_tokens, 0) AS forgiven_tokens,
       u.request_limit AS limit_requests, coalesce(u.requests, 0) AS used_requests, coalesce(u.held_requests, 0)::bigint AS held_requests,
       greatest(u.request_limit - coalesce(u.requests, 0) - coalesce(u.held_requests, 0), 0)::bigint AS remaining_requests,
       round(100 * coalesce(u.requests, 0)::numeric / nullif(u.request_limit, 0), 1) AS used_requests_percent,
       CASE WHEN u.method LIKE 'linear%' THEN round(coalesce(u.requests, 0) / u.elapsed) END AS forecast_requests,
       coalesce(u.forgiven_requests, 0) AS forgiven_requests, u.near_action AS action, u.raised,
       u.part, u.named
  FROM used u;

COMMENT ON COLUMN finance.budget_status.part IS 'What of it is limited: model, credential, user, end_user or tag:NAME; empty for all of it';
COMMENT ON COLUMN finance.budget_status.named IS 'The model, credential or value of the tag; empty for persons';
