-- What caching saved, in the daily sums, so that reports have it.

-- Of an adjustment: by how much it changes what caching saved on the row that it adjusts. Of a
-- usage row it follows from tokens, price and cost.
ALTER TABLE spend_events ADD COLUMN cache_savings_nano bigint;
ALTER TABLE spend_daily ADD COLUMN cache_savings_nano bigint NOT NULL DEFAULT 0;

-- Of archived months there are only the daily sums.
UPDATE spend_daily d
   SET cache_savings_nano = least(div((d.cache_read_tokens + d.cache_write_tokens)::numeric * r.input_nano + 500000, 1000000), 1000000000000000)::bigint
         - d.cache_read_cost_nano - d.cache_write_cost_nano
  FROM prices r
 WHERE r.id = d.price_id AND d.kind = 'usage' AND d.pricing = 'priced' AND d.cache_read_tokens + d.cache_write_tokens > 0
   AND d.month IN (SELECT to_char(period, 'YYYY-MM') FROM billing_periods WHERE archived_at IS NOT NULL);
UPDATE spend_daily d SET cache_savings_nano = e.saved
  FROM (
    SELECT report_day, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source,
           coalesce(price_id, '') AS price_id,
           sum(least(div((cache_read_tokens + cache_write_tokens)::numeric * coalesce(input_price_nano, 0) + 500000, 1000000), 1000000000000000)::bigint - coalesce(cache_read_cost_nano, 0) - coalesce(cache_write_cost_nano, 0)) AS saved
      FROM spend_events WHERE kind = 'usage' AND pricing = 'priced' AND cache_read_tokens + cache_write_tokens > 0
     GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
  ) AS e
 WHERE (d.report_day, d.team_id, d.project_id, d.key_id, d.cost_center, d.environment, d.provider, d.model, d.kind, d.pricing,
        d.usage_source, d.price_id)
     = (e.report_day, e.team_id, e.project_id, e.key_id, e.cost_center, e.environment, e.provider, e.model, e.kind, e.pricing,
        e.usage_source, e.price_id);

-- Rows are posted in the order of the primary key, so that two writers that
-- post to the same days, keys and models never wait for each other in a circle.
-- An attempt without a price adds neither cost nor baseline: what it cost is
-- unknown, so what it saved is unknown too.
CREATE OR REPLACE FUNCTION spend_post_daily() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO spend_daily AS d (
    report_day, month, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source, price_id,
    ledger_rows, requests, attempts, errors, input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, overrun_tokens, overrun_nano,
    input_cost_nano, cache_read_cost_nano, cache_write_cost_nano, output_cost_nano, fee_nano, cost_nano, baseline_cost_nano,
    cache_savings_nano)
  SELECT report_day, to_char(report_day, 'YYYY-MM'), team_id, project_id, key_id, cost_center, environment,
         provider, model, kind, pricing, usage_source, coalesce(price_id, ''),
         count(*), count(*) FILTER (WHERE kind = 'usage' AND final), count(*) FILTER (WHERE kind = 'usage'),
         count(*) FILTER (WHERE kind = 'usage' AND status <> 'ok'),
         sum(input_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(output_tokens), sum(overrun_tokens), sum(overrun_nano),
         coalesce(sum(input_cost_nano), 0), coalesce(sum(cache_read_cost_nano), 0), coalesce(sum(cache_write_cost_nano), 0),
         coalesce(sum(output_cost_nano), 0), coalesce(sum(fee_nano), 0), coalesce(sum(cost_nano), 0),
         coalesce(sum(coalesce(baseline_cost_nano, cost_nano)) FILTER (WHERE pricing <> 'unpriced'), 0),
         sum(CASE WHEN kind <> 'usage' THEN coalesce(cache_savings_nano, 0)
              WHEN pricing = 'priced' AND cache_read_tokens + cache_write_tokens > 0 THEN
                least(div((cache_read_tokens + cache_write_tokens)::numeric * coalesce(input_price_nano, 0) + 500000, 1000000), 1000000000000000)::bigint
                  - coalesce(cache_read_cost_nano, 0) - coalesce(cache_write_cost_nano, 0)
              ELSE 0 END)
    FROM added
   GROUP BY report_day, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source, coalesce(price_id, '')
   ORDER BY report_day, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source, coalesce(price_id, '')
  ON CONFLICT (report_day, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source, price_id)
  DO UPDATE SET
    ledger_rows = d.ledger_rows + excluded.ledger_rows,
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
    baseline_cost_nano = d.baseline_cost_nano + excluded.baseline_cost_nano,
    cache_savings_nano = d.cache_savings_nano + excluded.cache_savings_nano;
  RETURN NULL;
END $$;

CREATE OR REPLACE VIEW finance.spend AS
SELECT e.report_day AS day, e.occurred_at, e.kind, e.request_id, e.attempt, e.final,
       coalesce(t.name, e.team_id) AS team, coalesce(p.name, e.project_id) AS project, coalesce(k.name, e.key_id) AS key_name, e.cost_center, e.environment,
       coalesce(u.shown, e.end_user) AS end_user, e.tags, e.requested_model, e.provider, e.model, e.service_tier, e.route_reason,
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
       finance.usd(CASE WHEN e.kind <> 'usage' THEN coalesce(e.cache_savings_nano, 0) WHEN e.pricing = 'priced' AND e.cache_read_tokens + e.cache_write_tokens > 0 THEN least(div((e.cache_read_tokens + e.cache_write_tokens)::numeric * coalesce(e.input_price_nano, 0) + 500000, 1000000), 1000000000000000)::bigint - coalesce(e.cache_read_cost_nano, 0) - coalesce(e.cache_write_cost_nano, 0) ELSE 0 END) AS cache_savings_usd,
       e.recorded_at, e.answered_model, e.unpriced_members
  FROM spend_events e
  LEFT JOIN teams t ON t.id = e.team_id
  LEFT JOIN projects p ON p.id = e.project_id
  LEFT JOIN api_keys k ON k.id = e.key_id
  LEFT JOIN end_users u ON u.stored = e.end_user
 WHERE e.kind = 'usage'
UNION ALL
SELECT e.report_day AS day, e.occurred_at, e.kind, e.request_id, e.attempt, e.final,
       coalesce(t.name, e.team_id) AS team, coalesce(p.name, e.project_id) AS project, coalesce(k.name, e.key_id) AS key_name, e.cost_center, e.environment,
       coalesce(u.shown, e.end_user) AS end_user, e.tags, e.requested_model, e.provider, e.model, e.service_tier, e.route_reason,
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
       finance.usd(CASE WHEN e.kind <> 'usage' THEN coalesce(e.cache_savings_nano, 0) WHEN e.pricing = 'priced' AND e.cache_read_tokens + e.cache_write_tokens > 0 THEN least(div((e.cache_read_tokens + e.cache_write_tokens)::numeric * coalesce(e.input_price_nano, 0) + 500000, 1000000), 1000000000000000)::bigint - coalesce(e.cache_read_cost_nano, 0) - coalesce(e.cache_write_cost_nano, 0) ELSE 0 END) AS cache_savings_usd,
       e.recorded_at, e.answered_model, e.unpriced_members
  FROM spend_events e
  LEFT JOIN teams t ON t.id = e.team_id
  LEFT JOIN projects p ON p.id = e.project_id
  LEFT JOIN api_keys k ON k.id = e.key_id
  LEFT JOIN end_users u ON u.stored = e.end_user
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
       finance.usd(d.cache_savings_nano) AS cache_savings_usd
  FROM spend_daily d
  LEFT JOIN teams t ON t.id = d.team_id
  LEFT JOIN projects p ON p.id = d.project_id
  LEFT JOIN api_keys k ON k.id = d.key_id;
