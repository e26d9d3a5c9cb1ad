-- How the ledger knows what it says, and what became of it. What is not known
-- is NULL. Of the past, nothing is.

ALTER TABLE spend_events
  -- A mark beside the status: rows from before it have the status 'disputed'.
  ADD COLUMN disputed            boolean NOT NULL DEFAULT false,
  ADD COLUMN reported            jsonb,   -- tokens as the provider reported them, where that is not what is booked or is disputed
  ADD COLUMN fees                jsonb,   -- what fee_nano consists of: [{"meter", "units", "cost_nano"}]
  ADD COLUMN region              text,
  ADD COLUMN upstream_credential text,    -- the name of it
  ADD COLUMN endpoint            text,
  ADD COLUMN session             text CHECK (octet_length(session) <= 128),
  ADD COLUMN bytes_in            bigint CHECK (bytes_in >= 0),
  ADD COLUMN bytes_out           bigint CHECK (bytes_out >= 0),
  ADD COLUMN first_token_ms      integer CHECK (first_token_ms >= 0),
  ADD COLUMN took_ms             integer CHECK (took_ms >= 0),
  ADD COLUMN fingerprint         bytea CHECK (octet_length(fingerprint) <= 32),
  ADD COLUMN prefixes            bytea CHECK (octet_length(prefixes) <= 128); -- 6 bytes for each

-- What the answers of a key came to beyond what was held for them, since the key
-- was made or enabled, and whether it was stopped for it.
ALTER TABLE api_keys
  ADD COLUMN overrun_tokens bigint NOT NULL DEFAULT 0 CHECK (overrun_tokens >= 0),
  ADD COLUMN overrun_nano   bigint NOT NULL DEFAULT 0 CHECK (overrun_nano >= 0),
  ADD COLUMN stopped_at     timestamptz,
  ADD COLUMN enabled_at     timestamptz,
  ADD COLUMN enabled_by     text NOT NULL DEFAULT '',
  ADD COLUMN enabled_reason text NOT NULL DEFAULT '';

-- What somebody may want to be told of, written together with what caused it.
-- dedup_id names what happened: it is written down once.
CREATE TABLE events (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  dedup_id    text NOT NULL UNIQUE,
  occurred_at timestamptz NOT NULL,
  kind        text NOT NULL CHECK (kind IN ('overrun', 'disputed', 'rejected', 'breach', 'denied')),
  object      text NOT NULL,
  severity    text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
  text        text NOT NULL,
  data        jsonb NOT NULL DEFAULT '{}',
  recorded_at timestamptz NOT NULL DEFAULT now()
);

-- What finance sees of it.
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
       finance.usd(e.overrun_nano) AS overrun_usd, e.overrun_nano,
       e.provider_cost_nano, e.disputed OR e.status = 'disputed' AS disputed, e.reported, e.fees,
       e.region, e.upstream_credential, e.endpoint, e.session, e.bytes_in, e.bytes_out, e.first_token_ms, e.took_ms,
       encode(e.fingerprint, 'hex') AS fingerprint, encode(e.prefixes, 'hex') AS prefixes
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
       finance.usd(e.overrun_nano) AS overrun_usd, e.overrun_nano,
       e.provider_cost_nano, e.disputed OR e.status = 'disputed' AS disputed, e.reported, e.fees,
       e.region, e.upstream_credential, e.endpoint, e.session, e.bytes_in, e.bytes_out, e.first_token_ms, e.took_ms,
       encode(e.fingerprint, 'hex') AS fingerprint, encode(e.prefixes, 'hex') AS prefixes
  FROM spend_events e
  LEFT JOIN teams t ON t.id = e.team_id
  LEFT JOIN projects p ON p.id = e.project_id
  LEFT JOIN api_keys k ON k.id = e.key_id
 WHERE e.kind <> 'usage';

DO $$
DECLARE
  help jsonb := '{
    "disputed": "The usage that the provider reported cannot be right, or contradicts what is known; reported has it",
    "reported": "Tokens as the provider reported them, where that is not what is booked or is disputed",
    "fees": "What the fee consists of, by meter",
    "provider_cost_nano": "Nano-USD that the provider said it cost; empty where it did not say",
    "region": "Region that the request was sent to, where it is known",
    "upstream_credential": "Name of the credential that it was sent with",
    "endpoint": "What was called",
    "session": "The client''s own name of the session",
    "bytes_in": "Bytes of the request as the client sent it",
    "bytes_out": "Bytes of the answer that came of it, without the framing of streams",
    "first_token_ms": "Milliseconds until the first content of the answer",
    "took_ms": "Milliseconds from sending the request to the end of the answer",
    "fingerprint": "Same for the same request in one project and month, as hex; says nothing about its text",
    "prefixes": "Same for requests that begin alike, 12 hex digits for each message and all before it"
  }';
  c record;
BEGIN
  FOR c IN SELECT attrelid::regclass AS view, attname FROM pg_attribute a JOIN pg_class v ON v.oid = a.attrelid
            WHERE v.relnamespace = 'finance'::regnamespace AND v.relkind = 'v' AND help ? a.attname
  LOOP
    EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', c.view, c.attname, help ->> c.attname);
  END LOOP;
END $$;
