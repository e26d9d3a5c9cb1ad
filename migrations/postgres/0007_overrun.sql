-- What requests used and cost beyond what was held for them, in money as well as
-- in tokens; and answers that may be asked for again.

ALTER TABLE spend_events ADD COLUMN overrun_nano bigint NOT NULL DEFAULT 0 CHECK (overrun_nano BETWEEN 0 AND 1000000000000000000);
ALTER TABLE spend_daily ADD COLUMN overrun_nano bigint NOT NULL DEFAULT 0;

-- Rows are posted in the order of the primary key, so that two writers that
-- post to the same days, keys and models never wait for each other in a circle.
-- An attempt without a price adds neither cost nor baseline: what it cost is
-- unknown, so what it saved is unknown too.
CREATE OR REPLACE FUNCTION spend_post_daily() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO spend_daily AS d (
    report_day, month, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source, price_id,
    requests, attempts, errors, input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, overrun_tokens, overrun_nano,
    input_cost_nano, cache_read_cost_nano, cache_write_cost_nano, output_cost_nano, fee_nano, cost_nano, baseline_cost_nano)
  SELECT report_day, to_char(report_day, 'YYYY-MM'), team_id, project_id, key_id, cost_center, environment,
         provider, model, kind, pricing, usage_source, coalesce(price_id, ''),
         count(*) FILTER (WHERE kind = 'usage' AND final), count(*) FILTER (WHERE kind = 'usage'),
         count(*) FILTER (WHERE kind = 'usage' AND status <> 'ok'),
         sum(input_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(output_tokens), sum(overrun_tokens), sum(overrun_nano),
         coalesce(sum(input_cost_nano), 0), coalesce(sum(cache_read_cost_nano), 0), coalesce(sum(cache_write_cost_nano), 0),
         coalesce(sum(output_cost_nano), 0), coalesce(sum(fee_nano), 0), coalesce(sum(cost_nano), 0),
         coalesce(sum(coalesce(baseline_cost_nano, cost_nano)) FILTER (WHERE pricing <> 'unpriced'), 0)
    FROM added
   GROUP BY report_day, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source, coalesce(price_id, '')
   ORDER BY report_day, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source, coalesce(price_id, '')
  ON CONFLICT (report_day, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source, price_id)
  DO UPDATE SET
    requests = d.requests + excluded.requests,
    attempts = d.attempts + excluded.attempts,
    errors = d.errors + excluded.errors,
    input_tokens = d.input_tokens + excluded.input_tokens,
    cache_read_tokens = d.cache_read_tokens + excluded.cache_read_tokens,
    cache_write_tokens = d.cache_write_tokens + excluded.cache_write_tokens,
    output_tokens = d.output_tokens + excluded.output_tokens,
    overrun_tokens = d.overrun_tokens + excluded.overrun_tokens,
    overrun_nano = d.overrun_nano + excluded.overrun_nano,
    input_cost_nano = d.input_cost_nano + excluded.input_cost_nano,
    cache_read_cost_nano = d.cache_read_cost_nano + excluded.cache_read_cost_nano,
    cache_write_cost_nano = d.cache_write_cost_nano + excluded.cache_write_cost_nano,
    output_cost_nano = d.output_cost_nano + excluded.output_cost_nano,
    fee_nano = d.fee_nano + excluded.fee_nano,
    cost_nano = d.cost_nano + excluded.cost_nano,
    baseline_cost_nano = d.baseline_cost_nano + excluded.baseline_cost_nano;
  RETURN NULL;
END $$;

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
       finance.usd(e.overrun_nano) AS overrun_usd, e.overrun_nano
  FROM spend_events e
  LEFT JOIN teams t ON t.id = e.team_id
  LEFT JOIN projects p ON p.id = e.project_id
  LEFT JOIN api_keys k ON k.id = e.key_id;

CREATE OR REPLACE VIEW finance.spend_by_day AS
SELECT d.report_day AS day, d.month, coalesce(t.name, d.team_id) AS team, coalesce(p.name, d.project_id) AS project, coalesce(k.name, d.key_id) AS key_name, d.cost_center, d.environment,
       d.provider, d.model, d.kind, d.requests, d.attempts, d.errors,
       d.input_tokens + d.cache_read_tokens + d.cache_write_tokens + d.output_tokens AS tokens,
       d.input_tokens, d.cache_read_tokens, d.cache_write_tokens, d.output_tokens, d.overrun_tokens,
       finance.usd(d.cost_nano) AS cost_usd, d.cost_nano,
       finance.usd(d.baseline_cost_nano - d.cost_nano) AS routing_savings_usd,
       d.pricing, d.usage_source,
       finance.usd(d.overrun_nano) AS overrun_usd, d.overrun_nano
  FROM spend_daily d
  LEFT JOIN teams t ON t.id = d.team_id
  LEFT JOIN projects p ON p.id = d.project_id
  LEFT JOIN api_keys k ON k.id = d.key_id;

CREATE OR REPLACE VIEW finance.spend_by_team_month AS
SELECT month, team, cost_center, sum(requests)::bigint AS requests, sum(tokens)::bigint AS tokens,
       sum(cost_usd) AS cost_usd, sum(cost_nano)::bigint AS cost_nano,
       sum(routing_savings_usd) AS routing_savings_usd,
       coalesce(sum(requests) FILTER (WHERE pricing = 'unpriced'), 0)::bigint AS unpriced_requests,
       sum(overrun_tokens)::bigint AS overrun_tokens, sum(overrun_usd) AS overrun_usd, sum(overrun_nano)::bigint AS overrun_nano
  FROM finance.spend_by_day
 GROUP BY month, team, cost_center;

CREATE OR REPLACE VIEW finance.spend_by_model_month AS
SELECT month, provider, model, sum(requests)::bigint AS requests, sum(input_tokens)::bigint AS input_tokens,
       sum(cache_read_tokens)::bigint AS cache_read_tokens, sum(cache_write_tokens)::bigint AS cache_write_tokens,
       sum(output_tokens)::bigint AS output_tokens,
       sum(cost_usd) AS cost_usd, sum(cost_nano)::bigint AS cost_nano,
       round(sum(cost_usd) FILTER (WHERE pricing <> 'unpriced') * 1000000
             / nullif(sum(tokens) FILTER (WHERE pricing <> 'unpriced'), 0), 4) AS usd_per_million_tokens,
       sum(overrun_tokens)::bigint AS overrun_tokens, sum(overrun_usd) AS overrun_usd, sum(overrun_nano)::bigint AS overrun_nano
  FROM finance.spend_by_day
 GROUP BY month, provider, model;

CREATE OR REPLACE VIEW finance.spend_by_key_month AS
SELECT d.month, coalesce(t.name, d.team_id) AS team, coalesce(p.name, d.project_id) AS project, coalesce(k.name, d.key_id) AS key_name, d.key_id, d.cost_center, d.environment,
       sum(d.requests)::bigint AS requests, sum(d.attempts)::bigint AS attempts, sum(d.errors)::bigint AS errors,
       sum(d.input_tokens + d.cache_read_tokens + d.cache_write_tokens + d.output_tokens)::bigint AS tokens,
       finance.usd(sum(d.cost_nano)) AS cost_usd, sum(d.cost_nano)::bigint AS cost_nano,
       finance.usd(sum(d.baseline_cost_nano - d.cost_nano)) AS routing_savings_usd,
       coalesce(sum(d.requests) FILTER (WHERE d.pricing = 'unpriced'), 0)::bigint AS unpriced_requests,
       sum(d.overrun_tokens)::bigint AS overrun_tokens, finance.usd(sum(d.overrun_nano)) AS overrun_usd, sum(d.overrun_nano)::bigint AS overrun_nano
  FROM spend_daily d
  LEFT JOIN teams t ON t.id = d.team_id
  LEFT JOIN projects p ON p.id = d.project_id
  LEFT JOIN api_keys k ON k.id = d.key_id
 GROUP BY d.month, d.team_id, t.name, d.project_id, p.name, d.key_id, k.name, d.cost_center, d.environment;

DO $$
DECLARE
  help jsonb := '{
    "overrun_tokens": "Tokens that the provider reported beyond what was reserved for the request",
    "overrun_usd": "US dollars that the request cost beyond what was reserved for it",
    "overrun_nano": "Nano-USD that the request cost beyond what was reserved for it, exact"
  }';
  c record;
BEGIN
  FOR c IN SELECT attrelid::regclass AS view, attname FROM pg_attribute a JOIN pg_class v ON v.oid = a.attrelid
            WHERE v.relnamespace = 'finance'::regnamespace AND v.relkind = 'v' AND help ? a.attname
  LOOP
    EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', c.view, c.attname, help ->> c.attname);
  END LOOP;
END $$;

-- Answers that a client may ask for again under the same Idempotency-Key, and
-- requests that are being answered under one. Neither that key nor what was
-- asked is here, only hashes keyed with it; the answer is sealed with it.
CREATE TABLE idempotency (
  key_id      text NOT NULL,
  name        bytea NOT NULL CHECK (octet_length(name) = 32),
  fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32), -- of the body
  request_id  text NOT NULL,
  state       text NOT NULL CHECK (state IN ('running', 'kept', 'too_large')),
  answer      bytea,
  expires_at  timestamptz NOT NULL,
  PRIMARY KEY (key_id, name),
  CHECK ((state = 'kept') = (answer IS NOT NULL))
) WITH (fillfactor = 70);
CREATE INDEX idempotency_expiry ON idempotency (expires_at);
