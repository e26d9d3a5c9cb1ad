-- What finance asks beyond what was spent by whom: budgets and how they stand, prices,
-- months, rows that were refused, requests that were; and of each row what is known.

-- Requests that were answered with an error of our own, by hour. They cost nothing, so
-- they are no rows of the ledger; they are counted in memory and added from time to time.
CREATE TABLE refusals (
  hour       timestamptz NOT NULL,
  key_id     text NOT NULL, -- '' where no key was known
  project_id text NOT NULL,
  team_id    text NOT NULL,
  model      text NOT NULL, -- that was asked for; '' where that is no name we know
  code       text NOT NULL,
  requests   bigint NOT NULL CHECK (requests > 0),
  PRIMARY KEY (hour, key_id, model, code, project_id, team_id)
) WITH (fillfactor = 70);

CREATE OR REPLACE VIEW finance.spend AS
SELECT e.report_day AS day, e.occurred_at, e.kind, e.request_id, e.attempt, e.final,
       coalesce(t.name, e.team_id) AS team, coalesce(p.name, e.project_id) AS project, coalesce(k.name, e.key_id) AS key_name, e.cost_center, e.environment,
       e.end_user, e.tags, e.requested_model, e.provider, e.model, e.service_tier, e.route_reason,
       e.status, e.error_kind, e.streamed, e.usage_source, e.pricing,
       e.input_tokens, e.cache_read_tokens, e.cache_write_tokens, e.output_tokens,
       e.input_tokens + e.cache_read_tokens + e.cache_write_tokens + e.output_tokens AS total_tokens,
       e.overrun_tokens,
       e.price_id, finance.usd(e.input_price_nano) AS usd_per_million_input, finance.usd(e.output_price_nano) AS usd_per_million_output,
       finance.usd(e.cost_nano) AS cost_usd, e.cost_nano,
       finance.usd(e.baseline_cost_nano) AS baseline_cost_usd, finance.usd(e.provider_cost_nano) AS provider_cost_usd,
       e.reason, e.actor, e.adjusts_event, e.adjusts_period,
       finance.usd(e.overrun_nano) AS overrun_usd, e.overrun_nano,
       e.provider_cost_nano, e.disputed OR e.status = 'disputed' AS disputed, e.reported, e.fees,
       e.region, e.upstream_credential, e.endpoint, e.session, e.bytes_in, e.bytes_out, e.first_token_ms, e.took_ms,
       encode(e.fingerprint, 'hex') AS fingerprint, encode(e.prefixes, 'hex') AS prefixes,
       e.event_id, e.key_id, e.project_id, e.team_id, to_char(e.report_day, 'YYYY-MM') AS month, e.provider_request_id,
       e.reasoning_tokens, e.cache_write_1h_tokens, e.audio_input_tokens, e.audio_output_tokens,
       finance.usd(e.cache_read_price_nano) AS usd_per_million_cache_read, finance.usd(e.cache_write_price_nano) AS usd_per_million_cache_write,
       finance.usd(e.input_cost_nano) AS input_cost_usd, finance.usd(e.cache_read_cost_nano) AS cache_read_cost_usd,
       finance.usd(e.cache_write_cost_nano) AS cache_write_cost_usd, finance.usd(e.output_cost_nano) AS output_cost_usd,
       finance.usd(e.fee_nano) AS fee_usd,
       e.input_cost_nano, e.cache_read_cost_nano, e.cache_write_cost_nano, e.output_cost_nano, e.fee_nano, e.baseline_cost_nano,
       CASE WHEN e.kind = 'usage' AND e.pricing = 'priced' THEN finance.usd(round(((e.cache_read_tokens + e.cache_write_tokens)::numeric * e.input_price_nano) / 1000000) - coalesce(e.cache_read_cost_nano, 0) - coalesce(e.cache_write_cost_nano, 0)) END AS cache_savings_usd,
       e.recorded_at, e.answered_model, e.unpriced_members
  FROM spend_events e
  LEFT JOIN teams t ON t.id = e.team_id
  LEFT JOIN projects p ON p.id = e.project_id
  LEFT JOIN api_keys k ON k.id = e.key_id
 WHERE e.kind = 'usage'
UNION ALL
SELECT e.report_day AS day, e.occurred_at, e.kind, e.request_id, e.attempt, e.final,
       coalesce(t.name, e.team_id) AS team, coalesce(p.name, e.project_id) AS project, coalesce(k.name, e.key_id) AS key_name, e.cost_center, e.environment,
       e.end_user, e.tags, e.requested_model, e.provider, e.model, e.service_tier, e.route_reason,
       e.status, e.error_kind, e.streamed, e.usage_source, e.pricing,
       e.input_tokens, e.cache_read_tokens, e.cache_write_tokens, e.output_tokens,
       e.input_tokens + e.cache_read_tokens + e.cache_write_tokens + e.output_tokens AS total_tokens,
       e.overrun_tokens,
       e.price_id, finance.usd(e.input_price_nano) AS usd_per_million_input, finance.usd(e.output_price_nano) AS usd_per_million_output,
       finance.usd(e.cost_nano) AS cost_usd, e.cost_nano,
       finance.usd(e.baseline_cost_nano) AS baseline_cost_usd, finance.usd(e.provider_cost_nano) AS provider_cost_usd,
       e.reason, e.actor, e.adjusts_event, e.adjusts_period,
       finance.usd(e.overrun_nano) AS overrun_usd, e.overrun_nano,
       e.provider_cost_nano, e.disputed OR e.status = 'disputed' AS disputed, e.reported, e.fees,
       e.region, e.upstream_credential, e.endpoint, e.session, e.bytes_in, e.bytes_out, e.first_token_ms, e.took_ms,
       encode(e.fingerprint, 'hex') AS fingerprint, encode(e.prefixes, 'hex') AS prefixes,
       e.event_id, e.key_id, e.project_id, e.team_id, to_char(e.report_day, 'YYYY-MM') AS month, e.provider_request_id,
       e.reasoning_tokens, e.cache_write_1h_tokens, e.audio_input_tokens, e.audio_output_tokens,
       finance.usd(e.cache_read_price_nano) AS usd_per_million_cache_read, finance.usd(e.cache_write_price_nano) AS usd_per_million_cache_write,
       finance.usd(e.input_cost_nano) AS input_cost_usd, finance.usd(e.cache_read_cost_nano) AS cache_read_cost_usd,
       finance.usd(e.cache_write_cost_nano) AS cache_write_cost_usd, finance.usd(e.output_cost_nano) AS output_cost_usd,
       finance.usd(e.fee_nano) AS fee_usd,
       e.input_cost_nano, e.cache_read_cost_nano, e.cache_write_cost_nano, e.output_cost_nano, e.fee_nano, e.baseline_cost_nano,
       CASE WHEN e.kind = 'usage' AND e.pricing = 'priced' THEN finance.usd(round(((e.cache_read_tokens + e.cache_write_tokens)::numeric * e.input_price_nano) / 1000000) - coalesce(e.cache_read_cost_nano, 0) - coalesce(e.cache_write_cost_nano, 0)) END AS cache_savings_usd,
       e.recorded_at, e.answered_model, e.unpriced_members
  FROM spend_events e
  LEFT JOIN teams t ON t.id = e.team_id
  LEFT JOIN projects p ON p.id = e.project_id
  LEFT JOIN api_keys k ON k.id = e.key_id
 WHERE e.kind <> 'usage';

CREATE OR REPLACE VIEW finance.spend_by_day AS
SELECT d.report_day AS day, d.month, coalesce(t.name, d.team_id) AS team, coalesce(p.name, d.project_id) AS project, coalesce(k.name, d.key_id) AS key_name, d.cost_center, d.environment,
       d.provider, d.model, d.kind, d.requests, d.attempts, d.errors,
       d.input_tokens + d.cache_read_tokens + d.cache_write_tokens + d.output_tokens AS tokens,
       d.input_tokens, d.cache_read_tokens, d.cache_write_tokens, d.output_tokens, d.overrun_tokens,
       finance.usd(d.cost_nano) AS cost_usd, d.cost_nano,
       finance.usd(d.baseline_cost_nano - d.cost_nano) AS routing_savings_usd,
       d.pricing, d.usage_source,
       finance.usd(d.overrun_nano) AS overrun_usd, d.overrun_nano,
       d.key_id, d.project_id, d.team_id, d.price_id,
       finance.usd(d.input_cost_nano) AS input_cost_usd, finance.usd(d.cache_read_cost_nano) AS cache_read_cost_usd,
       finance.usd(d.cache_write_cost_nano) AS cache_write_cost_usd, finance.usd(d.output_cost_nano) AS output_cost_usd, finance.usd(d.fee_nano) AS fee_usd,
       d.input_cost_nano, d.cache_read_cost_nano, d.cache_write_cost_nano, d.output_cost_nano, d.fee_nano, d.baseline_cost_nano,
       CASE WHEN d.kind = 'usage' THEN finance.usd(round(((d.cache_read_tokens + d.cache_write_tokens)::numeric * r.input_nano) / 1000000) - d.cache_read_cost_nano - d.cache_write_cost_nano) END AS cache_savings_usd
  FROM spend_daily d
  LEFT JOIN teams t ON t.id = d.team_id
  LEFT JOIN projects p ON p.id = d.project_id
  LEFT JOIN api_keys k ON k.id = d.key_id
  LEFT JOIN prices r ON r.id = d.price_id;

CREATE OR REPLACE VIEW finance.spend_by_model_month AS
SELECT month, provider, model, sum(requests)::bigint AS requests, sum(input_tokens)::bigint AS input_tokens,
       sum(cache_read_tokens)::bigint AS cache_read_tokens, sum(cache_write_tokens)::bigint AS cache_write_tokens,
       sum(output_tokens)::bigint AS output_tokens,
       sum(cost_usd) AS cost_usd, sum(cost_nano)::bigint AS cost_nano,
       round(sum(cost_usd) FILTER (WHERE pricing <> 'unpriced') * 1000000
             / nullif(sum(tokens) FILTER (WHERE pricing <> 'unpriced'), 0), 4) AS usd_per_million_tokens,
       sum(overrun_tokens)::bigint AS overrun_tokens, sum(overrun_usd) AS overrun_usd, sum(overrun_nano)::bigint AS overrun_nano,
       sum(attempts)::bigint AS attempts, sum(errors)::bigint AS errors,
       coalesce(sum(requests) FILTER (WHERE pricing = 'unpriced'), 0)::bigint AS unpriced_requests,
       sum(routing_savings_usd) AS routing_savings_usd, coalesce(sum(cache_savings_usd), 0) AS cache_savings_usd,
       sum(input_cost_usd) AS input_cost_usd, sum(cache_read_cost_usd) AS cache_read_cost_usd,
       sum(cache_write_cost_usd) AS cache_write_cost_usd, sum(output_cost_usd) AS output_cost_usd, sum(fee_usd) AS fee_usd
  FROM finance.spend_by_day
 GROUP BY month, provider, model;

CREATE VIEW finance.prices AS
SELECT p.id AS price_id, p.provider, p.model, p.service_tier, p.min_input_tokens, p.valid_from,
       (SELECT min(n.valid_from) FROM prices n WHERE n.provider = p.provider AND n.model = p.model AND n.service_tier = p.service_tier
           AND n.valid_from > p.valid_from) AS valid_until,
       finance.usd(p.input_nano) AS usd_per_million_input,
       finance.usd(p.cache_read_nano) AS usd_per_million_cache_read,
       finance.usd(p.cache_write_nano) AS usd_per_million_cache_write,
       finance.usd(p.cache_write_1h_nano) AS usd_per_million_cache_write_1h,
       finance.usd(p.output_nano) AS usd_per_million_output,
       finance.usd(p.reasoning_nano) AS usd_per_million_reasoning,
       finance.usd(p.audio_input_nano) AS usd_per_million_audio_input,
       finance.usd(p.audio_output_nano) AS usd_per_million_audio_output,
       finance.usd(p.request_fee_nano) AS usd_per_request, p.source, p.created_at AS recorded_at
  FROM prices p;

CREATE VIEW finance.periods AS
SELECT coalesce(d.month, to_char(b.period, 'YYYY-MM')) AS month,
       CASE WHEN b.archived_at IS NOT NULL THEN 'archived' ELSE coalesce(b.status, 'open') END AS status,
       coalesce(d.requests, 0) AS requests, finance.usd(coalesce(d.cost_nano, 0)) AS cost_usd, coalesce(d.cost_nano, 0) AS cost_nano,
       b.ledger_rows AS closed_rows, finance.usd(b.ledger_nano) AS closed_usd, b.ledger_nano AS closed_nano,
       b.ledger_unpriced AS closed_unpriced, b.ledger_sha256 AS closed_sha256, b.closed_at, b.closed_by, b.archived_at, b.archived_by
  FROM (SELECT month, sum(requests)::bigint AS requests, sum(cost_nano)::bigint AS cost_nano FROM spend_daily GROUP BY month) AS d
  FULL JOIN billing_periods b ON to_char(b.period, 'YYYY-MM') = d.month;

CREATE VIEW finance.period_changes AS
SELECT to_char(period, 'YYYY-MM') AS month, action, changed_at, actor, reason, ledger_rows AS closed_rows,
       finance.usd(ledger_nano) AS closed_usd, ledger_nano AS closed_nano, ledger_unpriced AS closed_unpriced, ledger_sha256 AS closed_sha256
  FROM period_changes;

CREATE VIEW finance.rejected_rows AS
SELECT r.rejected_at, r.occurred_at, r.request_id, r.attempt, coalesce(t.name, r.team_id) AS team, coalesce(p.name, r.project_id) AS project, coalesce(k.name, r.key_id) AS key_name,
       r.key_id, r.tokens, finance.usd(r.nano) AS cost_usd, r.nano AS cost_nano, r.reason, r.booked_at, r.booked_by
  FROM spend_rejects r
  LEFT JOIN teams t ON t.id = r.team_id
  LEFT JOIN projects p ON p.id = r.project_id
  LEFT JOIN api_keys k ON k.id = r.key_id;

CREATE VIEW finance.refused_requests AS
SELECT r.hour, coalesce(t.name, r.team_id) AS team, coalesce(p.name, r.project_id) AS project, coalesce(k.name, r.key_id) AS key_name, r.key_id, r.model, r.code, r.requests
  FROM refusals r
  LEFT JOIN teams t ON t.id = r.team_id
  LEFT JOIN projects p ON p.id = r.project_id
  LEFT JOIN api_keys k ON k.id = r.key_id;

-- The window of a budget that now is in is the one of its counter, found by how long it
-- is; where nothing was used yet there is none, and it is worked out.
CREATE VIEW finance.budget_status AS
WITH counted AS (
  SELECT b.*, coalesce(nullif(b.zone, ''), 'UTC') AS place, CASE b.scope WHEN 'org' THEN 'org' WHEN 'team' THEN t.name WHEN 'project' THEN coalesce(pt.name, p.team_id) || '/' || p.name ELSE k.name END AS name,
         c.budget_id IS NOT NULL AS open, c.window_start, c.window_end, c.used_tokens, c.used_nano, c.forgiven_tokens, c.forgiven_nano,
         c.held_tokens + (SELECT coalesce(sum(l.busy_tokens), 0) FROM leases l
                           WHERE l.budget_id = c.budget_id AND l.window_start = c.window_start) AS held_tokens,
         c.held_nano + (SELECT coalesce(sum(l.busy_nano), 0) FROM leases l
                         WHERE l.budget_id = c.budget_id AND l.window_start = c.window_start) AS held_nano
    FROM budgets b
    LEFT JOIN LATERAL (
      SELECT * FROM budget_counters c
       WHERE c.budget_id = b.id AND c.window_start <= now() AND c.window_end > now()
         AND CASE WHEN b.period = 'once' OR NOT (isfinite(c.window_start) AND isfinite(c.window_end))
                  THEN b.period = 'once' AND NOT isfinite(c.window_end)
                  ELSE extract(epoch FROM c.window_end - c.window_start) / 86400 BETWEEN
                       CASE b.period WHEN 'day' THEN 0 WHEN 'week' THEN 4 WHEN 'month' THEN 26 WHEN 'quarter' THEN 80 ELSE 350 END AND
                       CASE b.period WHEN 'day' THEN 3 WHEN 'week' THEN 9 WHEN 'month' THEN 33 WHEN 'quarter' THEN 95 ELSE 380 END END
       ORDER BY c.window_start DESC
       LIMIT 1
    ) AS c ON true
    LEFT JOIN teams t ON b.scope = 'team' AND t.id = b.scope_id
    LEFT JOIN projects p ON b.scope = 'project' AND p.id = b.scope_id
    LEFT JOIN teams pt ON pt.id = p.team_id
    LEFT JOIN api_keys k ON b.scope = 'key' AND k.id = b.scope_id
   WHERE b.archived_at IS NULL
), bounded AS (
  SELECT c.*,
         CASE WHEN c.open THEN c.window_start WHEN c.period = 'once' THEN '-infinity'
              ELSE date_trunc(c.period, now() AT TIME ZONE c.place) AT TIME ZONE c.place END AS starts,
         CASE WHEN c.open THEN c.window_end WHEN c.period = 'once' THEN 'infinity'
              ELSE (date_trunc(c.period, now() AT TIME ZONE c.place)
                    + CASE c.period WHEN 'quarter' THEN interval '3 months' ELSE ('1 ' || c.period)::interval END) AT TIME ZONE c.place END AS ends
    FROM counted c
), used AS (
  SELECT b.*, CASE WHEN b.open THEN b.used_tokens ELSE u.tokens END AS tokens, CASE WHEN b.open THEN b.used_nano ELSE u.nano END AS nano,
         CASE WHEN NOT isfinite(b.ends) THEN NULL
              ELSE extract(epoch FROM now() - b.starts)::numeric / extract(epoch FROM b.ends - b.starts)::numeric END AS elapsed,
         CASE WHEN NOT isfinite(b.ends) THEN 'none: it never resets'
              WHEN now() - b.starts < least(interval '1 hour', (b.ends - b.starts) / 100) THEN 'none: it has just begun'
              ELSE 'linear: what is used so far, at the same pace until it resets' END AS method
    FROM bounded b
    LEFT JOIN LATERAL (
      SELECT coalesce(sum(s.tokens), 0)::bigint AS tokens, coalesce(sum(s.nano), 0)::bigint AS nano
        FROM (
          SELECT tokens, nano, key_id, project_id, team_id, occurred_at FROM spend_moments
           WHERE NOT isfinite(b.starts) OR report_day >= b.starts::date - 2
          UNION ALL
          SELECT tokens, nano, key_id, project_id, team_id, occurred_at FROM spend_rejects WHERE booked_at IS NULL
        ) AS s
       WHERE s.occurred_at >= b.starts AND s.occurred_at < b.ends
         AND CASE b.scope WHEN 'key' THEN s.key_id WHEN 'project' THEN s.project_id WHEN 'team' THEN s.team_id ELSE 'org' END = b.scope_id
         AND NOT b.open AND EXISTS (
           SELECT FROM spend_daily d
            WHERE (NOT isfinite(b.starts) OR d.report_day >= b.starts::date - 2)
              AND CASE b.scope WHEN 'key' THEN d.key_id WHEN 'project' THEN d.project_id WHEN 'team' THEN d.team_id ELSE 'org' END = b.scope_id)
    ) AS u ON true
)
SELECT u.id AS budget_id, u.scope, u.scope_id, coalesce(u.name, u.scope_id) AS name, u.period, u.place AS zone,
       nullif(u.starts, '-infinity') AS window_start, nullif(u.ends, 'infinity') AS resets_at, round(100 * u.elapsed, 1) AS elapsed_percent,
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
       finance.usd(coalesce(u.forgiven_nano, 0)) AS forgiven_usd, coalesce(u.forgiven_tokens, 0) AS forgiven_tokens
  FROM used u;

COMMENT ON VIEW finance.prices IS 'One row for each price of a model at a provider, and from when it holds';
COMMENT ON VIEW finance.periods IS 'One row for each month: what it came to, and what it was closed with';
COMMENT ON VIEW finance.period_changes IS 'Who closed, reopened and archived a month, when and why';
COMMENT ON VIEW finance.budget_status IS 'One row for each budget: limit, used, held, remaining and a forecast for its current period';
COMMENT ON VIEW finance.rejected_rows IS 'Rows that the ledger refused, which budgets count and reports do not until they are booked';
COMMENT ON VIEW finance.refused_requests IS 'Requests that were answered with an error of our own, by hour, key and code';

-- Columns that have no comment yet: a column means the same wherever it is.
DO $$
DECLARE
  help jsonb := '{
    "event_id": "Id of the row",
    "key_id": "Id of the virtual key, which stays when its name changes",
    "project_id": "Id of the project",
    "team_id": "Id of the team",
    "provider_request_id": "What the provider calls the request, as far as it says: its bill has the same",
    "reasoning_tokens": "Tokens of reasoning, part of output_tokens",
    "cache_write_1h_tokens": "Tokens written to a cache for an hour, part of cache_write_tokens",
    "audio_input_tokens": "Tokens of audio that was sent, part of input_tokens",
    "audio_output_tokens": "Tokens of audio that was generated, part of output_tokens",
    "usd_per_million_input": "US dollars per million input tokens",
    "usd_per_million_output": "US dollars per million output tokens",
    "usd_per_million_cache_read": "US dollars per million tokens read from a cache",
    "usd_per_million_cache_write": "US dollars per million tokens written to a cache",
    "usd_per_million_cache_write_1h": "US dollars per million tokens written to a cache for an hour",
    "usd_per_million_reasoning": "US dollars per million tokens of reasoning",
    "usd_per_million_audio_input": "US dollars per million tokens of audio that is sent",
    "usd_per_million_audio_output": "US dollars per million tokens of audio that is generated",
    "usd_per_request": "US dollars per request, beside its tokens",
    "input_cost_usd": "Cost of input tokens in US dollars",
    "cache_read_cost_usd": "Cost of tokens read from a cache in US dollars",
    "cache_write_cost_usd": "Cost of tokens written to a cache in US dollars",
    "output_cost_usd": "Cost of output tokens in US dollars",
    "fee_usd": "Cost of what is charged besides tokens in US dollars",
    "input_cost_nano": "Cost of input tokens in nano-USD",
    "cache_read_cost_nano": "Cost of tokens read from a cache in nano-USD",
    "cache_write_cost_nano": "Cost of tokens written to a cache in nano-USD",
    "output_cost_nano": "Cost of output tokens in nano-USD",
    "fee_nano": "Cost of what is charged besides tokens in nano-USD",
    "baseline_cost_nano": "What the dearest provider that could have served it would have cost, in nano-USD",
    "cache_savings_usd": "What the tokens of caches would have cost as input, less what they did cost; below zero where writing cost more than reading saved",
    "recorded_at": "When it was written down",
    "month": "YYYY-MM in the reporting time zone",
    "attempts": "Attempts at providers",
    "errors": "Attempts that did not end well",
    "unpriced_requests": "Requests without a known price, missing from the cost",
    "routing_savings_usd": "Baseline less cost: what choosing the cheapest provider saved",
    "price_id": "The price that the cost was computed from",
    "provider": "Provider that was called",
    "model": "Model that was called; of refused requests, that was asked for",
    "service_tier": "Service tier of the provider",
    "min_input_tokens": "Length of the prompt, in tokens, from which the price holds",
    "valid_from": "When the price begins",
    "valid_until": "When the next one begins; empty while there is none",
    "source": "catalog, contract or manual",
    "status": "open, closed or archived",
    "requests": "Requests, each counted once however many attempts it took",
    "cost_usd": "Cost in US dollars",
    "cost_nano": "Cost in nano-USD, exact: 1,000,000,000 are one US dollar",
    "closed_rows": "Rows that the month was closed with",
    "closed_usd": "What they came to in US dollars",
    "closed_nano": "What they came to in nano-USD",
    "closed_unpriced": "Attempts without a price that were accepted",
    "closed_sha256": "SHA-256 over the rows that it was closed with",
    "closed_at": "When it was closed",
    "closed_by": "Who closed it",
    "archived_at": "When its rows were archived",
    "archived_by": "Who archived them",
    "action": "close, reopen or archive",
    "changed_at": "When",
    "actor": "Who did it",
    "reason": "Why",
    "rejected_at": "When the ledger refused the row",
    "occurred_at": "When the request began",
    "request_id": "Groups the attempts of one request; clients see it as x-request-id",
    "attempt": "Which try at a provider this was, from 1",
    "team": "Name of the team that pays",
    "project": "Name of the project",
    "key_name": "Name of the virtual key",
    "tokens": "All tokens: input, cache read, cache write and output",
    "booked_at": "When it was booked after all; empty while it waits",
    "booked_by": "Who booked it",
    "hour": "Beginning of the hour",
    "code": "Code of the error that the client got",
    "budget_id": "Id of the budget",
    "scope": "key, project, team or org",
    "scope_id": "Id of what the budget is of",
    "name": "Name of what the budget is of",
    "period": "day, week, month, quarter, year or once",
    "zone": "Zone of the calendar that the budget follows",
    "window_start": "When the current period of the budget began; empty where it never resets",
    "resets_at": "When the next one begins; empty where it never resets",
    "elapsed_percent": "How much of the period is over",
    "limit_usd": "Limit in US dollars; empty where money is not limited",
    "used_usd": "Used so far in US dollars",
    "held_usd": "Held for requests under way in US dollars",
    "remaining_usd": "Limit less what is used and held, in US dollars",
    "used_usd_percent": "Used so far, of the limit in money",
    "forecast_usd": "What will be used when the period ends, in US dollars, by forecast_method",
    "limit_tokens": "Limit in tokens; empty where tokens are not limited",
    "used_tokens": "Tokens used so far",
    "held_tokens": "Tokens held for requests under way",
    "remaining_tokens": "Limit less what is used and held, in tokens",
    "used_tokens_percent": "Used so far, of the limit in tokens",
    "forecast_tokens": "Tokens that will be used when the period ends, by forecast_method",
    "forecast_method": "How the forecast is made, or why there is none",
    "limit_nano": "Limit in nano-USD",
    "used_nano": "Used so far in nano-USD",
    "held_nano": "Held for requests under way in nano-USD",
    "forgiven_usd": "Used before the budget was reset by hand, in US dollars",
    "forgiven_tokens": "Tokens used before the budget was reset by hand",
    "answered_model": "Model that answered, by its own word, where that is another one than was called",
    "unpriced_members": "Members of the request that may cost what is not known"
  }';
  c record;
BEGIN
  FOR c IN SELECT attrelid::regclass AS view, attname FROM pg_attribute a JOIN pg_class v ON v.oid = a.attrelid
            WHERE v.relnamespace = 'finance'::regnamespace AND v.relkind = 'v' AND attnum > 0
              AND col_description(a.attrelid, a.attnum) IS NULL
  LOOP
    EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', c.view, c.attname, help ->> c.attname);
  END LOOP;
END $$;

SELECT finance_grant();
