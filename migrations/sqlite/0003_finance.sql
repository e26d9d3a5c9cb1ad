-- What finance reads: plain names and dollars; the views and columns of schema
-- finance in ../postgres. *_usd columns are REAL here, good for reading but not
-- for comparing; cost_nano is the exact amount, 1 USD = 1,000,000,000 nano-USD.
-- Owners are joined from the left: money never drops out of a report because a
-- name is missing.

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
       e.reason, e.actor, e.adjusts_event, e.adjusts_period
  FROM spend_events e
  LEFT JOIN teams t ON t.id = e.team_id
  LEFT JOIN projects p ON p.id = e.project_id
  LEFT JOIN api_keys k ON k.id = e.key_id;

CREATE VIEW spend_by_day AS
SELECT d.report_day AS day, d.month, coalesce(t.name, d.team_id) AS team, coalesce(p.name, d.project_id) AS project, coalesce(k.name, d.key_id) AS key_name, d.cost_center, d.environment,
       d.provider, d.model, d.kind, d.requests, d.attempts, d.errors,
       d.input_tokens + d.cache_read_tokens + d.cache_write_tokens + d.output_tokens AS tokens,
       d.input_tokens, d.cache_read_tokens, d.cache_write_tokens, d.output_tokens, d.overrun_tokens,
       d.cost_nano / 1e9 AS cost_usd, d.cost_nano,
       (d.baseline_cost_nano - d.cost_nano) / 1e9 AS routing_savings_usd,
       d.pricing, d.usage_source
  FROM spend_daily d
  LEFT JOIN teams t ON t.id = d.team_id
  LEFT JOIN projects p ON p.id = d.project_id
  LEFT JOIN api_keys k ON k.id = d.key_id;

CREATE VIEW spend_by_team_month AS
SELECT d.month, coalesce(t.name, d.team_id) AS team, d.cost_center, sum(d.requests) AS requests,
       sum(d.input_tokens + d.cache_read_tokens + d.cache_write_tokens + d.output_tokens) AS tokens,
       sum(d.cost_nano) / 1e9 AS cost_usd, sum(d.cost_nano) AS cost_nano,
       sum(d.baseline_cost_nano - d.cost_nano) / 1e9 AS routing_savings_usd,
       coalesce(sum(d.requests) FILTER (WHERE d.pricing = 'unpriced'), 0) AS unpriced_requests
  FROM spend_daily d
  LEFT JOIN teams t ON t.id = d.team_id
 GROUP BY d.month, coalesce(t.name, d.team_id), d.cost_center;

CREATE VIEW spend_by_model_month AS
SELECT month, provider, model, sum(requests) AS requests, sum(input_tokens) AS input_tokens,
       sum(cache_read_tokens) AS cache_read_tokens, sum(cache_write_tokens) AS cache_write_tokens,
       sum(output_tokens) AS output_tokens,
       sum(cost_nano) / 1e9 AS cost_usd, sum(cost_nano) AS cost_nano,
       round(sum(cost_nano) FILTER (WHERE pricing <> 'unpriced') / 1e3
             / nullif(sum(input_tokens + cache_read_tokens + cache_write_tokens + output_tokens) FILTER (WHERE pricing <> 'unpriced'), 0), 4) AS usd_per_million_tokens
  FROM spend_daily
 GROUP BY month, provider, model;

CREATE VIEW spend_by_key_month AS
SELECT d.month, coalesce(t.name, d.team_id) AS team, coalesce(p.name, d.project_id) AS project, coalesce(k.name, d.key_id) AS key_name, d.key_id, d.cost_center, d.environment,
       sum(d.requests) AS requests, sum(d.attempts) AS attempts, sum(d.errors) AS errors,
       sum(d.input_tokens + d.cache_read_tokens + d.cache_write_tokens + d.output_tokens) AS tokens,
       sum(d.cost_nano) / 1e9 AS cost_usd, sum(d.cost_nano) AS cost_nano,
       sum(d.baseline_cost_nano - d.cost_nano) / 1e9 AS routing_savings_usd,
       coalesce(sum(d.requests) FILTER (WHERE d.pricing = 'unpriced'), 0) AS unpriced_requests
  FROM spend_daily d
  LEFT JOIN teams t ON t.id = d.team_id
  LEFT JOIN projects p ON p.id = d.project_id
  LEFT JOIN api_keys k ON k.id = d.key_id
 GROUP BY d.month, d.team_id, d.project_id, d.key_id, d.cost_center, d.environment;

CREATE VIEW unpriced_usage AS
SELECT provider, model, min(report_day) AS first_day, max(report_day) AS last_day, sum(requests) AS requests,
       sum(input_tokens + cache_read_tokens + cache_write_tokens + output_tokens) AS tokens, sum(cost_nano) AS cost_nano
  FROM spend_daily
 WHERE pricing = 'unpriced'
 GROUP BY provider, model;
