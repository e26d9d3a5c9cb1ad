-- What the ledger knows of a person, and quick reports by what the daily rollup has not.

-- How many rows of the ledger a row of the rollup is the sum of.
ALTER TABLE spend_daily ADD COLUMN ledger_rows INTEGER NOT NULL DEFAULT 0;
UPDATE spend_daily SET ledger_rows = attempts WHERE kind = 'usage';
UPDATE spend_daily AS d SET ledger_rows = e.n
FROM (
  SELECT report_day, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source,
    coalesce(price_id, '') AS price_id, count(*) AS n
  FROM spend_events WHERE kind <> 'usage' AND report_day IN (SELECT report_day FROM spend_daily WHERE kind <> 'usage')
  GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
) AS e
WHERE d.report_day = e.report_day AND d.team_id = e.team_id AND d.project_id = e.project_id AND d.key_id = e.key_id
  AND d.cost_center = e.cost_center AND d.environment = e.environment AND d.provider = e.provider AND d.model = e.model
  AND d.kind = e.kind AND d.pricing = e.pricing AND d.usage_source = e.usage_source AND d.price_id = e.price_id;
-- Of corrections in archived months, nothing tells how many there were.
UPDATE spend_daily SET ledger_rows = 1 WHERE ledger_rows = 0;

-- An attempt without a price adds neither cost nor baseline: what it cost is
-- unknown, so what it saved is unknown too.
DROP TRIGGER spend_post_daily;
CREATE TRIGGER spend_post_daily AFTER INSERT ON spend_events
BEGIN
  INSERT INTO spend_daily (
    report_day, month, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source, price_id,
    ledger_rows, requests, attempts, errors, input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, overrun_tokens, overrun_nano,
    input_cost_nano, cache_read_cost_nano, cache_write_cost_nano, output_cost_nano, fee_nano, cost_nano, baseline_cost_nano)
  VALUES (
    NEW.report_day, substr(NEW.report_day, 1, 7), NEW.team_id, NEW.project_id, NEW.key_id, NEW.cost_center, NEW.environment,
    NEW.provider, NEW.model, NEW.kind, NEW.pricing, NEW.usage_source, coalesce(NEW.price_id, ''),
    1, NEW.kind = 'usage' AND NEW.final, NEW.kind = 'usage', NEW.kind = 'usage' AND NEW.status <> 'ok',
    NEW.input_tokens, NEW.cache_read_tokens, NEW.cache_write_tokens, NEW.output_tokens, NEW.overrun_tokens, NEW.overrun_nano,
    coalesce(NEW.input_cost_nano, 0), coalesce(NEW.cache_read_cost_nano, 0), coalesce(NEW.cache_write_cost_nano, 0),
    coalesce(NEW.output_cost_nano, 0), coalesce(NEW.fee_nano, 0), coalesce(NEW.cost_nano, 0),
    CASE WHEN NEW.pricing = 'unpriced' THEN 0 ELSE coalesce(NEW.baseline_cost_nano, NEW.cost_nano) END)
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
    baseline_cost_nano = baseline_cost_nano + excluded.baseline_cost_nano;
END;

-- The daily sums of spend_events by one more dimension each: an end user, the value of a
-- tag ("tag:feature"), a status. They are made from the rows of a day at a time, and hold
-- as long as the day has as many rows as it had then: rows are only ever added.
CREATE TABLE spend_breakdowns (
  dimension             TEXT NOT NULL,
  report_day            TEXT NOT NULL,
  value                 TEXT NOT NULL,
  team_id               TEXT NOT NULL,
  project_id            TEXT NOT NULL,
  key_id                TEXT NOT NULL,
  cost_center           TEXT NOT NULL,
  environment           TEXT NOT NULL,
  provider              TEXT NOT NULL,
  model                 TEXT NOT NULL,
  kind                  TEXT NOT NULL,
  pricing               TEXT NOT NULL,
  usage_source          TEXT NOT NULL,
  ledger_rows           INTEGER NOT NULL,
  requests              INTEGER NOT NULL,
  attempts              INTEGER NOT NULL,
  errors                INTEGER NOT NULL,
  input_tokens          INTEGER NOT NULL,
  cache_read_tokens     INTEGER NOT NULL,
  cache_write_tokens    INTEGER NOT NULL,
  output_tokens         INTEGER NOT NULL,
  overrun_tokens        INTEGER NOT NULL,
  overrun_nano          INTEGER NOT NULL,
  input_cost_nano       INTEGER NOT NULL,
  cache_read_cost_nano  INTEGER NOT NULL,
  cache_write_cost_nano INTEGER NOT NULL,
  output_cost_nano      INTEGER NOT NULL,
  fee_nano              INTEGER NOT NULL,
  cost_nano             INTEGER NOT NULL,
  baseline_cost_nano    INTEGER NOT NULL,
  PRIMARY KEY (dimension, report_day, value, team_id, project_id, key_id, cost_center, environment,
               provider, model, kind, pricing, usage_source)
) STRICT, WITHOUT ROWID;

-- Which breakdowns there are; one with kept = 0 would have been about as long as the rows.
-- All tags are made together, as the dimension "tag".
CREATE TABLE breakdown_days (
  dimension   TEXT NOT NULL,
  report_day  TEXT NOT NULL,
  ledger_rows INTEGER NOT NULL, -- that the day had
  kept        INTEGER NOT NULL CHECK (kept IN (0, 1)),
  made_at     TEXT NOT NULL,
  PRIMARY KEY (dimension, report_day)
) STRICT, WITHOUT ROWID;

-- How the end users in rows are shown. Rows have pseudonyms, whose names are here until
-- they are erased. Rows from before this have the names themselves: an erased one is shown
-- as a pseudonym, and its row here goes with the last of them.
CREATE TABLE end_users (
  stored    TEXT PRIMARY KEY,
  shown     TEXT NOT NULL,
  erased_at TEXT -- NULL: shown is the name
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX end_users_name ON end_users (shown) WHERE erased_at IS NULL;

-- Names as they are shown.
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
       CASE WHEN e.kind = 'usage' AND e.pricing = 'priced' THEN (round((e.cache_read_tokens + e.cache_write_tokens) * e.input_price_nano / 1e6) - coalesce(e.cache_read_cost_nano, 0) - coalesce(e.cache_write_cost_nano, 0)) / 1e9 END AS cache_savings_usd,
       e.recorded_at, e.answered_model, e.unpriced_members
  FROM spend_events e
  LEFT JOIN teams t ON t.id = e.team_id
  LEFT JOIN projects p ON p.id = e.project_id
  LEFT JOIN api_keys k ON k.id = e.key_id
  LEFT JOIN end_users u ON u.stored = e.end_user;
