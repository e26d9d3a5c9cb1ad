-- What caching saved, in the daily sums, so that reports have it.

-- Of an adjustment: by how much it changes what caching saved on the row that it adjusts. Of a
-- usage row it follows from tokens, price and cost.
ALTER TABLE spend_events ADD COLUMN cache_savings_nano INTEGER;
ALTER TABLE spend_daily ADD COLUMN cache_savings_nano INTEGER NOT NULL DEFAULT 0;

-- Of archived months there are only the daily sums.
UPDATE spend_daily AS d
SET cache_savings_nano = min((d.cache_read_tokens + d.cache_write_tokens) * (r.input_nano / 1000000)
    + ((d.cache_read_tokens + d.cache_write_tokens) * (r.input_nano % 1000000) + 500000) / 1000000, 1000000000000000)
  - d.cache_read_cost_nano - d.cache_write_cost_nano
FROM prices AS r
WHERE r.id = d.price_id AND d.kind = 'usage' AND d.pricing = 'priced' AND d.cache_read_tokens + d.cache_write_tokens > 0
  AND d.month IN (SELECT substr(period, 1, 7) FROM billing_periods WHERE archived_at IS NOT NULL);
UPDATE spend_daily AS d SET cache_savings_nano = e.saved
FROM (
  SELECT report_day, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source,
    coalesce(price_id, '') AS price_id,
    sum(min((cache_read_tokens + cache_write_tokens) * (coalesce(input_price_nano, 0) / 1000000) + ((cache_read_tokens + cache_write_tokens) * (coalesce(input_price_nano, 0) % 1000000) + 500000) / 1000000, 1000000000000000) - coalesce(cache_read_cost_nano, 0) - coalesce(cache_write_cost_nano, 0)) AS saved
  FROM spend_events WHERE kind = 'usage' AND pricing = 'priced' AND cache_read_tokens + cache_write_tokens > 0
  GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
) AS e
WHERE d.report_day = e.report_day AND d.team_id = e.team_id AND d.project_id = e.project_id AND d.key_id = e.key_id
  AND d.cost_center = e.cost_center AND d.environment = e.environment AND d.provider = e.provider AND d.model = e.model
  AND d.kind = e.kind AND d.pricing = e.pricing AND d.usage_source = e.usage_source AND d.price_id = e.price_id;

-- An attempt without a price adds neither cost nor baseline: what it cost is
-- unknown, so what it saved is unknown too.
DROP TRIGGER spend_post_daily;
CREATE TRIGGER spend_post_daily AFTER INSERT ON spend_events
BEGIN
  INSERT INTO spend_daily (
    report_day, month, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source, price_id,
    ledger_rows, requests, attempts, errors, input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, overrun_tokens, overrun_nano,
    input_cost_nano, cache_read_cost_nano, cache_write_cost_nano, output_cost_nano, fee_nano, cost_nano, baseline_cost_nano,
    cache_savings_nano)
  VALUES (
    NEW.report_day, substr(NEW.report_day, 1, 7), NEW.team_id, NEW.project_id, NEW.key_id, NEW.cost_center, NEW.environment,
    NEW.provider, NEW.model, NEW.kind, NEW.pricing, NEW.usage_source, coalesce(NEW.price_id, ''),
    1, NEW.kind = 'usage' AND NEW.final, NEW.kind = 'usage', NEW.kind = 'usage' AND NEW.status <> 'ok',
    NEW.input_tokens, NEW.cache_read_tokens, NEW.cache_write_tokens, NEW.output_tokens, NEW.overrun_tokens, NEW.overrun_nano,
    coalesce(NEW.input_cost_nano, 0), coalesce(NEW.cache_read_cost_nano, 0), coalesce(NEW.cache_write_cost_nano, 0),
    coalesce(NEW.output_cost_nano, 0), coalesce(NEW.fee_nano, 0), coalesce(NEW.cost_nano, 0),
    CASE WHEN NEW.pricing = 'unpriced' THEN 0 ELSE coalesce(NEW.baseline_cost_nano, NEW.cost_nano) END,
    CASE WHEN NEW.kind <> 'usage' THEN coalesce(NEW.cache_savings_nano, 0)
         WHEN NEW.pricing = 'priced' AND NEW.cache_read_tokens + NEW.cache_write_tokens > 0 THEN
           min((NEW.cache_read_tokens + NEW.cache_write_tokens) * (coalesce(NEW.input_price_nano, 0) / 1000000)
             + ((NEW.cache_read_tokens + NEW.cache_write_tokens) * (coalesce(NEW.input_price_nano, 0) % 1000000) + 500000) / 1000000, 1000000000000000)
             - coalesce(NEW.cache_read_cost_nano, 0) - coalesce(NEW.cache_write_cost_nano, 0)
         ELSE 0 END)
  ON CONFLICT (report_day, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source, price_id)
  DO UPDATE SET
    ledger_rows = ledger_rows + excluded.ledger_rows,
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
    baseline_cost_nano = baseline_cost_nano + excluded.baseline_cost_nano,
    cache_savings_nano = cache_savings_nano + excluded.cache_savings_nano;
END;

DROP VIEW spend;
CREATE VIEW spend AS
SELECT e.report_day AS day, e.occurred_at, e.kind, e.request_id, e.attempt, e.final,
       coalesce(t.name, e.team_id) AS team, coalesce(p.name, e.project_id) AS project, coalesce(k.name, e.key_id) AS key_name, e.cost_center, e.environment,
       coalesce(u.shown, e.end_user) AS end_user, e.tags, e.requested_model, e.provider, e.model, e.service_tier, e.route_reason,
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
       (CASE WHEN e.kind <> 'usage' THEN coalesce(e.cache_savings_nano, 0) WHEN e.pricing = 'priced' AND e.cache_read_tokens + e.cache_write_tokens > 0 THEN min((e.cache_read_tokens + e.cache_write_tokens) * (coalesce(e.input_price_nano, 0) / 1000000) + ((e.cache_read_tokens + e.cache_write_tokens) * (coalesce(e.input_price_nano, 0) % 1000000) + 500000) / 1000000, 1000000000000000) - coalesce(e.cache_read_cost_nano, 0) - coalesce(e.cache_write_cost_nano, 0) ELSE 0 END) / 1e9 AS cache_savings_usd,
       e.recorded_at, e.answered_model, e.unpriced_members
  FROM spend_events e
  LEFT JOIN teams t ON t.id = e.team_id
  LEFT JOIN projects p ON p.id = e.project_id
  LEFT JOIN api_keys k ON k.id = e.key_id
  LEFT JOIN end_users u ON u.stored = e.end_user;

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
       d.cache_savings_nano / 1e9 AS cache_savings_usd
  FROM spend_daily d
  LEFT JOIN teams t ON t.id = d.team_id
  LEFT JOIN projects p ON p.id = d.project_id
  LEFT JOIN api_keys k ON k.id = d.key_id;
