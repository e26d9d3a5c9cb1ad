-- What the ledger knows of a person, and quick reports by what the daily rollup has not.

-- How many rows of the ledger a row of the rollup is the sum of.
ALTER TABLE spend_daily ADD COLUMN ledger_rows bigint NOT NULL DEFAULT 0;
UPDATE spend_daily SET ledger_rows = attempts WHERE kind = 'usage';
UPDATE spend_daily d SET ledger_rows = e.n
  FROM (
    SELECT report_day, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source,
           coalesce(price_id, '') AS price_id, count(*) AS n
      FROM spend_events WHERE kind <> 'usage'
     GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
  ) AS e
 WHERE (d.report_day, d.team_id, d.project_id, d.key_id, d.cost_center, d.environment, d.provider, d.model, d.kind, d.pricing,
        d.usage_source, d.price_id)
     = (e.report_day, e.team_id, e.project_id, e.key_id, e.cost_center, e.environment, e.provider, e.model, e.kind, e.pricing,
        e.usage_source, e.price_id);
-- Of corrections in archived months, nothing tells how many there were.
UPDATE spend_daily SET ledger_rows = 1 WHERE ledger_rows = 0;

-- Rows are posted in the order of the primary key, so that two writers that
-- post to the same days, keys and models never wait for each other in a circle.
-- An attempt without a price adds neither cost nor baseline: what it cost is
-- unknown, so what it saved is unknown too.
CREATE OR REPLACE FUNCTION spend_post_daily() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO spend_daily AS d (
    report_day, month, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source, price_id,
    ledger_rows, requests, attempts, errors, input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, overrun_tokens, overrun_nano,
    input_cost_nano, cache_read_cost_nano, cache_write_cost_nano, output_cost_nano, fee_nano, cost_nano, baseline_cost_nano)
  SELECT report_day, to_char(report_day, 'YYYY-MM'), team_id, project_id, key_id, cost_center, environment,
         provider, model, kind, pricing, usage_source, coalesce(price_id, ''),
         count(*), count(*) FILTER (WHERE kind = 'usage' AND final), count(*) FILTER (WHERE kind = 'usage'),
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
    baseline_cost_nano = d.baseline_cost_nano + excluded.baseline_cost_nano;
  RETURN NULL;
END $$;

-- The daily sums of spend_events by one more dimension each: an end user, the value of a
-- tag ("tag:feature"), a status. They are made from the rows of a day at a time, and hold
-- as long as the day has as many rows as it had then: rows are only ever added.
CREATE TABLE spend_breakdowns (
  dimension             text NOT NULL,
  report_day            date NOT NULL,
  value                 text NOT NULL,
  team_id               text NOT NULL,
  project_id            text NOT NULL,
  key_id                text NOT NULL,
  cost_center           text NOT NULL,
  environment           text NOT NULL,
  provider              text NOT NULL,
  model                 text NOT NULL,
  kind                  text NOT NULL,
  pricing               text NOT NULL,
  usage_source          text NOT NULL,
  ledger_rows           bigint NOT NULL,
  requests              bigint NOT NULL,
  attempts              bigint NOT NULL,
  errors                bigint NOT NULL,
  input_tokens          bigint NOT NULL,
  cache_read_tokens     bigint NOT NULL,
  cache_write_tokens    bigint NOT NULL,
  output_tokens         bigint NOT NULL,
  overrun_tokens        bigint NOT NULL,
  overrun_nano          bigint NOT NULL,
  input_cost_nano       bigint NOT NULL,
  cache_read_cost_nano  bigint NOT NULL,
  cache_write_cost_nano bigint NOT NULL,
  output_cost_nano      bigint NOT NULL,
  fee_nano              bigint NOT NULL,
  cost_nano             bigint NOT NULL,
  baseline_cost_nano    bigint NOT NULL,
  PRIMARY KEY (dimension, report_day, value, team_id, project_id, key_id, cost_center, environment,
               provider, model, kind, pricing, usage_source)
);

-- Which breakdowns there are; one with kept = false would have been about as long as the rows.
-- All tags are made together, as the dimension "tag".
CREATE TABLE breakdown_days (
  dimension   text NOT NULL,
  report_day  date NOT NULL,
  ledger_rows bigint NOT NULL, -- that the day had
  kept        boolean NOT NULL,
  made_at     timestamptz NOT NULL,
  PRIMARY KEY (dimension, report_day)
);

-- How the end users in rows are shown. Rows have pseudonyms, whose names are here until
-- they are erased. Rows from before this have the names themselves: an erased one is shown
-- as a pseudonym, and its row here goes with the last of them.
CREATE TABLE end_users (
  stored    text PRIMARY KEY,
  shown     text NOT NULL,
  erased_at timestamptz -- NULL: shown is the name
);
CREATE UNIQUE INDEX end_users_name ON end_users (shown) WHERE erased_at IS NULL;

-- Names as they are shown.
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
       CASE WHEN e.kind = 'usage' AND e.pricing = 'priced' THEN finance.usd(round(((e.cache_read_tokens + e.cache_write_tokens)::numeric * e.input_price_nano) / 1000000) - coalesce(e.cache_read_cost_nano, 0) - coalesce(e.cache_write_cost_nano, 0)) END AS cache_savings_usd,
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
       CASE WHEN e.kind = 'usage' AND e.pricing = 'priced' THEN finance.usd(round(((e.cache_read_tokens + e.cache_write_tokens)::numeric * e.input_price_nano) / 1000000) - coalesce(e.cache_read_cost_nano, 0) - coalesce(e.cache_write_cost_nano, 0)) END AS cache_savings_usd,
       e.recorded_at, e.answered_model, e.unpriced_members
  FROM spend_events e
  LEFT JOIN teams t ON t.id = e.team_id
  LEFT JOIN projects p ON p.id = e.project_id
  LEFT JOIN api_keys k ON k.id = e.key_id
  LEFT JOIN end_users u ON u.stored = e.end_user
 WHERE e.kind <> 'usage';

COMMENT ON COLUMN finance.spend.end_user IS 'What the client sent as the end user, or a pseudonym once that was erased';
