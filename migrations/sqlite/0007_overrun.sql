-- What requests used and cost beyond what was held for them, in money as well as
-- in tokens; and answers that may be asked for again.

ALTER TABLE spend_events ADD COLUMN overrun_nano INTEGER NOT NULL DEFAULT 0 CHECK (overrun_nano BETWEEN 0 AND 1000000000000000000);
ALTER TABLE spend_daily ADD COLUMN overrun_nano INTEGER NOT NULL DEFAULT 0;

-- An attempt without a price adds neither cost nor baseline: what it cost is
-- unknown, so what it saved is unknown too.
DROP TRIGGER spend_post_daily;
CREATE TRIGGER spend_post_daily AFTER INSERT ON spend_events
BEGIN
  INSERT INTO spend_daily (
    report_day, month, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source, price_id,
    requests, attempts, errors, input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, overrun_tokens, overrun_nano,
    input_cost_nano, cache_read_cost_nano, cache_write_cost_nano, output_cost_nano, fee_nano, cost_nano, baseline_cost_nano)
  VALUES (
    NEW.report_day, substr(NEW.report_day, 1, 7), NEW.team_id, NEW.project_id, NEW.key_id, NEW.cost_center, NEW.environment,
    NEW.provider, NEW.model, NEW.kind, NEW.pricing, NEW.usage_source, coalesce(NEW.price_id, ''),
    NEW.kind = 'usage' AND NEW.final, NEW.kind = 'usage', NEW.kind = 'usage' AND NEW.status <> 'ok',
    NEW.input_tokens, NEW.cache_read_tokens, NEW.cache_write_tokens, NEW.output_tokens, NEW.overrun_tokens, NEW.overrun_nano,
    coalesce(NEW.input_cost_nano, 0), coalesce(NEW.cache_read_cost_nano, 0), coalesce(NEW.cache_write_cost_nano, 0),
    coalesce(NEW.output_cost_nano, 0), coalesce(NEW.fee_nano, 0), coalesce(NEW.cost_nano, 0),
    CASE WHEN NEW.pricing = 'unpriced' THEN 0 ELSE coalesce(NEW.baseline_cost_nano, NEW.cost_nano) END)
  ON CONFLICT (report_day, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source, price_id)
  DO UPDATE SET
    requests = requests + excluded.requests,
    attempts = attempts + excluded.attempts,
    errors = errors + excluded.errors,
    input_tokens = input_tokens + excluded.input_tokens,
    cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens,
    cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens,
    output_tokens = output_tokens + excluded.output_tokens,
    overrun_tokens = overrun_tokens + excluded.overrun_tokens,
    overrun_nano = overrun_nano + excluded.overrun_nano,
    input_cost_nano = input_cost_nano + excluded.input_cost_nano,
    cache_read_cost_nano = cache_read_cost_nano + excluded.cache_read_cost_nano,
    cache_write_cost_nano = cache_write_cost_nano + excluded.cache_write_cost_nano,
    output_cost_nano = output_cost_nano + excluded.output_cost_nano,
    fee_nano = fee_nano + excluded.fee_nano,
    cost_nano = cost_nano + excluded.cost_nano,
    baseline_cost_nano = baseline_cost_nano + excluded.baseline_cost_nano;
END;

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
       e.overrun_nano / 1e9 AS overrun_usd, e.overrun_nano
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
       d.overrun_nano / 1e9 AS overrun_usd, d.overrun_nano
  FROM spend_daily d
  LEFT JOIN teams t ON t.id = d.team_id
  LEFT JOIN projects p ON p.id = d.project_id
  LEFT JOIN api_keys k ON k.id = d.key_id;

DROP VIEW spend_by_team_month;
CREATE VIEW spend_by_team_month AS
SELECT d.month, coalesce(t.name, d.team_id) AS team, d.cost_center, sum(d.requests) AS requests,
       sum(d.input_tokens + d.cache_read_tokens + d.cache_write_tokens + d.output_tokens) AS tokens,
       sum(d.cost_nano) / 1e9 AS cost_usd, sum(d.cost_nano) AS cost_nano,
       sum(d.baseline_cost_nano - d.cost_nano) / 1e9 AS routing_savings_usd,
       coalesce(sum(d.requests) FILTER (WHERE d.pricing = 'unpriced'), 0) AS unpriced_requests,
       sum(d.overrun_tokens) AS overrun_tokens, sum(d.overrun_nano) / 1e9 AS overrun_usd, sum(d.overrun_nano) AS overrun_nano
  FROM spend_daily d
  LEFT JOIN teams t ON t.id = d.team_id
 GROUP BY d.month, coalesce(t.name, d.team_id), d.cost_center;

DROP VIEW spend_by_model_month;
CREATE VIEW spend_by_model_month AS
SELECT month, provider, model, sum(requests) AS requests, sum(input_tokens) AS input_tokens,
       sum(cache_read_tokens) AS cache_read_tokens, sum(cache_write_tokens) AS cache_write_tokens,
       sum(output_tokens) AS output_tokens,
       sum(cost_nano) / 1e9 AS cost_usd, sum(cost_nano) AS cost_nano,
       round(sum(cost_nano) FILTER (WHERE pricing <> 'unpriced') / 1e3
             / nullif(sum(input_tokens + cache_read_tokens + cache_write_tokens + output_tokens) FILTER (WHERE pricing <> 'unpriced'), 0), 4) AS usd_per_million_tokens,
       sum(overrun_tokens) AS overrun_tokens, sum(overrun_nano) / 1e9 AS overrun_usd, sum(overrun_nano) AS overrun_nano
  FROM spend_daily
 GROUP BY month, provider, model;

DROP VIEW spend_by_key_month;
CREATE VIEW spend_by_key_month AS
SELECT d.month, coalesce(t.name, d.team_id) AS team, coalesce(p.name, d.project_id) AS project, coalesce(k.name, d.key_id) AS key_name, d.key_id, d.cost_center, d.environment,
       sum(d.requests) AS requests, sum(d.attempts) AS attempts, sum(d.errors) AS errors,
       sum(d.input_tokens + d.cache_read_tokens + d.cache_write_tokens + d.output_tokens) AS tokens,
       sum(d.cost_nano) / 1e9 AS cost_usd, sum(d.cost_nano) AS cost_nano,
       sum(d.baseline_cost_nano - d.cost_nano) / 1e9 AS routing_savings_usd,
       coalesce(sum(d.requests) FILTER (WHERE d.pricing = 'unpriced'), 0) AS unpriced_requests,
       sum(d.overrun_tokens) AS overrun_tokens, sum(d.overrun_nano) / 1e9 AS overrun_usd, sum(d.overrun_nano) AS overrun_nano
  FROM spend_daily d
  LEFT JOIN teams t ON t.id = d.team_id
  LEFT JOIN projects p ON p.id = d.project_id
  LEFT JOIN api_keys k ON k.id = d.key_id
 GROUP BY d.month, d.team_id, d.project_id, d.key_id, d.cost_center, d.environment;

-- Answers that a client may ask for again under the same Idempotency-Key, and
-- requests that are being answered under one. Neither that key nor what was
-- asked is here, only hashes keyed with it; the answer is sealed with it.
CREATE TABLE idempotency (
  key_id      TEXT NOT NULL,
  name        BLOB NOT NULL CHECK (length(name) = 32),
  fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32), -- of the body
  request_id  TEXT NOT NULL,
  state       TEXT NOT NULL CHECK (state IN ('running', 'kept', 'too_large')),
  answer      BLOB,
  expires_at  TEXT NOT NULL,
  PRIMARY KEY (key_id, name),
  CHECK ((state = 'kept') = (answer IS NOT NULL))
) STRICT;
CREATE INDEX idempotency_expiry ON idempotency (expires_at);
