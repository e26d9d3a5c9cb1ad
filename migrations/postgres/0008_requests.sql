-- Rows of the ledger by request, and amounts that are quicker to work out.

-- Usage and corrections apart, because each has an index by request of its own.
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
       finance.usd(e.overrun_nano) AS overrun_usd, e.overrun_nano
  FROM spend_events e
  LEFT JOIN teams t ON t.id = e.team_id
  LEFT JOIN projects p ON p.id = e.project_id
  LEFT JOIN api_keys k ON k.id = e.key_id
 WHERE e.kind <> 'usage';

-- Multiplying is quicker than dividing, and as exact: nine decimals in all.
CREATE OR REPLACE FUNCTION finance.usd(nano numeric) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT (nano * 0.000000001)::numeric(20, 9)
$$;
