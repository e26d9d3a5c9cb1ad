-- What finance reads: plain names, decimal dollars, no secrets, no writes.
-- *_nano columns are the exact amounts; 1 USD = 1,000,000,000 nano-USD.
-- Owners are joined from the left: money never drops out of a report because a
-- name is missing.

CREATE SCHEMA finance;

CREATE FUNCTION finance.usd(nano numeric) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT (nano / 1000000000)::numeric(20, 9)
$$;
COMMENT ON FUNCTION finance.usd IS 'Nano-USD as US dollars, exact to nine decimals';

CREATE VIEW finance.spend AS
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
       e.reason, e.actor, e.adjusts_event, e.adjusts_period
  FROM spend_events e
  LEFT JOIN teams t ON t.id = e.team_id
  LEFT JOIN projects p ON p.id = e.project_id
  LEFT JOIN api_keys k ON k.id = e.key_id;

CREATE VIEW finance.spend_by_day AS
SELECT d.report_day AS day, d.month, coalesce(t.name, d.team_id) AS team, coalesce(p.name, d.project_id) AS project, coalesce(k.name, d.key_id) AS key_name, d.cost_center, d.environment,
       d.provider, d.model, d.kind, d.requests, d.attempts, d.errors,
       d.input_tokens + d.cache_read_tokens + d.cache_write_tokens + d.output_tokens AS tokens,
       d.input_tokens, d.cache_read_tokens, d.cache_write_tokens, d.output_tokens, d.overrun_tokens,
       finance.usd(d.cost_nano) AS cost_usd, d.cost_nano,
       finance.usd(d.baseline_cost_nano - d.cost_nano) AS routing_savings_usd,
       d.pricing, d.usage_source
  FROM spend_daily d
  LEFT JOIN teams t ON t.id = d.team_id
  LEFT JOIN projects p ON p.id = d.project_id
  LEFT JOIN api_keys k ON k.id = d.key_id;

CREATE VIEW finance.spend_by_team_month AS
SELECT month, team, cost_center, sum(requests)::bigint AS requests, sum(tokens)::bigint AS tokens,
       sum(cost_usd) AS cost_usd, sum(cost_nano)::bigint AS cost_nano,
       sum(routing_savings_usd) AS routing_savings_usd,
       coalesce(sum(requests) FILTER (WHERE pricing = 'unpriced'), 0)::bigint AS unpriced_requests
  FROM finance.spend_by_day
 GROUP BY month, team, cost_center;

CREATE VIEW finance.spend_by_model_month AS
SELECT month, provider, model, sum(requests)::bigint AS requests, sum(input_tokens)::bigint AS input_tokens,
       sum(cache_read_tokens)::bigint AS cache_read_tokens, sum(cache_write_tokens)::bigint AS cache_write_tokens,
       sum(output_tokens)::bigint AS output_tokens,
       sum(cost_usd) AS cost_usd, sum(cost_nano)::bigint AS cost_nano,
       round(sum(cost_usd) FILTER (WHERE pricing <> 'unpriced') * 1000000
             / nullif(sum(tokens) FILTER (WHERE pricing <> 'unpriced'), 0), 4) AS usd_per_million_tokens
  FROM finance.spend_by_day
 GROUP BY month, provider, model;

CREATE VIEW finance.spend_by_key_month AS
SELECT d.month, coalesce(t.name, d.team_id) AS team, coalesce(p.name, d.project_id) AS project, coalesce(k.name, d.key_id) AS key_name, d.key_id, d.cost_center, d.environment,
       sum(d.requests)::bigint AS requests, sum(d.attempts)::bigint AS attempts, sum(d.errors)::bigint AS errors,
       sum(d.input_tokens + d.cache_read_tokens + d.cache_write_tokens + d.output_tokens)::bigint AS tokens,
       finance.usd(sum(d.cost_nano)) AS cost_usd, sum(d.cost_nano)::bigint AS cost_nano,
       finance.usd(sum(d.baseline_cost_nano - d.cost_nano)) AS routing_savings_usd,
       coalesce(sum(d.requests) FILTER (WHERE d.pricing = 'unpriced'), 0)::bigint AS unpriced_requests
  FROM spend_daily d
  LEFT JOIN teams t ON t.id = d.team_id
  LEFT JOIN projects p ON p.id = d.project_id
  LEFT JOIN api_keys k ON k.id = d.key_id
 GROUP BY d.month, d.team_id, t.name, d.project_id, p.name, d.key_id, k.name, d.cost_center, d.environment;

CREATE VIEW finance.unpriced_usage AS
SELECT provider, model, min(day) AS first_day, max(day) AS last_day,
       sum(requests)::bigint AS requests, sum(tokens)::bigint AS tokens, sum(cost_nano)::bigint AS cost_nano
  FROM finance.spend_by_day
 WHERE pricing = 'unpriced'
 GROUP BY provider, model;

COMMENT ON SCHEMA finance IS 'Read-only views of what was spent. Amounts are US dollars; cost_nano is the exact amount';
COMMENT ON VIEW finance.spend IS 'One row for each attempt at a provider or correction: the ledger itself';
COMMENT ON VIEW finance.spend_by_day IS 'One row for each day, key, model and way of pricing';
COMMENT ON VIEW finance.spend_by_team_month IS 'One row for each month, team and cost center';
COMMENT ON VIEW finance.spend_by_model_month IS 'One row for each month and model of a provider';
COMMENT ON VIEW finance.spend_by_key_month IS 'One row for each month and virtual key';
COMMENT ON VIEW finance.unpriced_usage IS 'Usage without a known price, which is missing from every amount';

-- A column means the same in every view that has it, so it is described once.
DO $$
DECLARE
  help jsonb := '{
    "day": "Day in the reporting time zone, set when the row was written",
    "month": "YYYY-MM in the reporting time zone",
    "occurred_at": "When the request began",
    "kind": "usage, or a correction: adjustment, credit, refund, fee",
    "request_id": "Groups the attempts of one request; clients see it as x-request-id",
    "attempt": "Which try at a provider this was, from 1",
    "final": "Whether this was the last attempt of its request",
    "team": "Name of the team that pays",
    "project": "Name of the project",
    "key_name": "Name of the virtual key",
    "key_id": "Id of the virtual key, which stays when its name changes",
    "cost_center": "Cost centre of the team when the request was made",
    "environment": "prod, staging or dev",
    "end_user": "What the client sent as the end user",
    "tags": "Tags of the key when the request was made",
    "requested_model": "Model or alias that the client asked for",
    "provider": "Provider that was called",
    "model": "Model that was called",
    "service_tier": "Service tier of the provider",
    "route_reason": "Why this provider: cheapest, failover, pinned, only",
    "status": "ok, error, client_aborted, upstream_aborted, interrupted or disputed",
    "error_kind": "Why the attempt failed",
    "streamed": "Whether the answer was streamed",
    "usage_source": "Where the token counts come from: reported by the provider, counted by us, or an upper bound",
    "pricing": "priced, free, or unpriced: no price was known, so the cost is unknown and not zero",
    "input_tokens": "Prompt tokens that were neither read from nor written to a cache",
    "cache_read_tokens": "Prompt tokens read from the cache of the provider",
    "cache_write_tokens": "Prompt tokens written to the cache of the provider",
    "output_tokens": "Generated tokens, reasoning included",
    "total_tokens": "All tokens: input, cache read, cache write and output",
    "tokens": "All tokens: input, cache read, cache write and output",
    "overrun_tokens": "Tokens that the provider reported beyond what was reserved",
    "price_id": "The price that the cost was computed from",
    "usd_per_million_input": "US dollars per million input tokens, as charged on this row",
    "usd_per_million_output": "US dollars per million output tokens, as charged on this row",
    "cost_usd": "Cost in US dollars; by month rounded to cents",
    "cost_nano": "Cost in nano-USD, exact: 1,000,000,000 are one US dollar",
    "baseline_cost_usd": "What the dearest provider that could have served it would have cost",
    "provider_cost_usd": "What the provider itself said that it cost",
    "routing_savings_usd": "Baseline less cost: what choosing the cheapest provider saved",
    "requests": "Requests, each counted once however many attempts it took",
    "attempts": "Attempts at providers",
    "errors": "Attempts that did not end well",
    "unpriced_requests": "Requests without a known price, missing from the cost",
    "usd_per_million_tokens": "US dollars per million tokens of any kind, over what has a price",
    "first_day": "First day with such usage",
    "last_day": "Last day with such usage",
    "reason": "Why a correction was posted",
    "actor": "Who posted a correction",
    "adjusts_event": "The row that a correction corrects",
    "adjusts_period": "The month that a correction belongs to, as its first day"
  }';
  c record;
BEGIN
  FOR c IN SELECT attrelid::regclass AS view, attname FROM pg_attribute a JOIN pg_class v ON v.oid = a.attrelid
            WHERE v.relnamespace = 'finance'::regnamespace AND v.relkind = 'v' AND attnum > 0
  LOOP
    EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', c.view, c.attname, help ->> c.attname);
  END LOOP;
END $$;

-- The role belongs to the cluster, not to this database: another one may make
-- it at the same moment, and a user without CREATEROLE may not make it at all.
DO $$
BEGIN
  IF to_regrole('finance') IS NULL THEN
    BEGIN
      CREATE ROLE finance NOLOGIN;
    EXCEPTION
      WHEN duplicate_object OR unique_violation THEN
        NULL; -- made meanwhile
      WHEN insufficient_privilege THEN
        RAISE NOTICE 'role finance was not created: % may not create roles. Let an administrator run CREATE ROLE finance NOLOGIN, then SELECT finance_grant()', current_user;
    END;
  END IF;
END $$;

-- Lets role finance read the views and nothing else. Run it again after the
-- role was made by hand.
CREATE FUNCTION finance_grant() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF to_regrole('finance') IS NULL THEN
    RETURN;
  END IF;
  GRANT USAGE ON SCHEMA finance TO finance;
  GRANT SELECT ON ALL TABLES IN SCHEMA finance TO finance;
  GRANT EXECUTE ON FUNCTION finance.usd(numeric) TO finance;
END $$;
SELECT finance_grant();

-- Before PostgreSQL 15 anybody could create tables in public. Only the owner of
-- the schema can take that away; for others this is a warning or nothing.
DO $$
BEGIN
  REVOKE CREATE ON SCHEMA public FROM PUBLIC;
EXCEPTION
  WHEN insufficient_privilege OR invalid_schema_name THEN NULL;
END $$;
