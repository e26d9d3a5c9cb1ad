-- How the ledger knows what it says, and what became of it. What is not known
-- is NULL. Of the past, nothing is.

-- disputed is a mark beside the status: rows from before it have the status 'disputed'.
ALTER TABLE spend_events ADD COLUMN disputed INTEGER NOT NULL DEFAULT 0 CHECK (disputed IN (0, 1));
ALTER TABLE spend_events ADD COLUMN reported TEXT; -- tokens as the provider reported them, where that is not what is booked or is disputed
ALTER TABLE spend_events ADD COLUMN fees TEXT; -- what fee_nano consists of: [{"meter", "units", "cost_nano"}]
ALTER TABLE spend_events ADD COLUMN region TEXT;
ALTER TABLE spend_events ADD COLUMN upstream_credential TEXT; -- the name of it
ALTER TABLE spend_events ADD COLUMN endpoint TEXT;
ALTER TABLE spend_events ADD COLUMN session TEXT CHECK (length(CAST(session AS BLOB)) <= 128);
ALTER TABLE spend_events ADD COLUMN bytes_in INTEGER CHECK (bytes_in >= 0);
ALTER TABLE spend_events ADD COLUMN bytes_out INTEGER CHECK (bytes_out >= 0);
ALTER TABLE spend_events ADD COLUMN first_token_ms INTEGER CHECK (first_token_ms >= 0);
ALTER TABLE spend_events ADD COLUMN took_ms INTEGER CHECK (took_ms >= 0);
ALTER TABLE spend_events ADD COLUMN fingerprint BLOB CHECK (length(fingerprint) <= 32);
ALTER TABLE spend_events ADD COLUMN prefixes BLOB CHECK (length(prefixes) <= 128); -- 6 bytes for each

-- What the answers of a key came to beyond what was held for them, since the key
-- was made or enabled, and whether it was stopped for it.
ALTER TABLE api_keys ADD COLUMN overrun_tokens INTEGER NOT NULL DEFAULT 0 CHECK (overrun_tokens >= 0);
ALTER TABLE api_keys ADD COLUMN overrun_nano INTEGER NOT NULL DEFAULT 0 CHECK (overrun_nano >= 0);
ALTER TABLE api_keys ADD COLUMN stopped_at TEXT;
ALTER TABLE api_keys ADD COLUMN enabled_at TEXT;
ALTER TABLE api_keys ADD COLUMN enabled_by TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN enabled_reason TEXT NOT NULL DEFAULT '';

-- What somebody may want to be told of, written together with what caused it.
-- dedup_id names what happened: it is written down once.
CREATE TABLE events (
  id          INTEGER PRIMARY KEY,
  dedup_id    TEXT NOT NULL UNIQUE,
  occurred_at TEXT NOT NULL,
  kind        TEXT NOT NULL CHECK (kind IN ('overrun', 'disputed', 'rejected', 'breach', 'denied')),
  object      TEXT NOT NULL,
  severity    TEXT NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
  text        TEXT NOT NULL,
  data        TEXT NOT NULL DEFAULT '{}',
  recorded_at TEXT NOT NULL
) STRICT;

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
       e.overrun_nano / 1e9 AS overrun_usd, e.overrun_nano,
       e.provider_cost_nano, e.disputed OR e.status = 'disputed' AS disputed, e.reported, e.fees,
       e.region, e.upstream_credential, e.endpoint, e.session, e.bytes_in, e.bytes_out, e.first_token_ms, e.took_ms,
       lower(hex(e.fingerprint)) AS fingerprint, lower(hex(e.prefixes)) AS prefixes
  FROM spend_events e
  LEFT JOIN teams t ON t.id = e.team_id
  LEFT JOIN projects p ON p.id = e.project_id
  LEFT JOIN api_keys k ON k.id = e.key_id;
