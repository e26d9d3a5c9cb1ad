-- The life of a key: what it is for and whose it is, the versions of its secret,
-- links that hand it over; who changed what; budgets that are begun anew or topped up.

ALTER TABLE api_keys
  ADD COLUMN purpose         text NOT NULL DEFAULT '',
  ADD COLUMN owner           text NOT NULL DEFAULT '', -- an address
  ADD COLUMN sensitivity     text NOT NULL DEFAULT 'normal' CHECK (sensitivity IN ('critical', 'high', 'normal', 'low')),
  ADD COLUMN rotate_every_s  bigint NOT NULL DEFAULT 0 CHECK (rotate_every_s >= 0), -- 0 is what the sensitivity says
  ADD COLUMN rotated_at      timestamptz, -- when its newest secret was made
  ADD COLUMN disabled_at     timestamptz,
  ADD COLUMN disabled_by     text NOT NULL DEFAULT '',
  ADD COLUMN disabled_reason text NOT NULL DEFAULT '',
  ADD COLUMN archived_at     timestamptz;
UPDATE api_keys SET rotated_at = created_at;

-- A version ends at valid_until, or once it was not used for quiet_s seconds.
ALTER TABLE api_key_secrets
  ADD COLUMN display      text NOT NULL DEFAULT '',
  ADD COLUMN quiet_s      bigint CHECK (quiet_s > 0),
  ADD COLUMN last_used_at timestamptz,
  ADD COLUMN once         text, -- hash of the Idempotency-Key of its rotation
  ADD COLUMN usage        text NOT NULL DEFAULT '' CHECK (octet_length(usage) <= 1024); -- the last hour, in JSON
UPDATE api_key_secrets s SET display = k.display FROM api_keys k WHERE k.id = s.key_id;
CREATE UNIQUE INDEX api_key_secrets_once ON api_key_secrets (key_id, once) WHERE once IS NOT NULL;
CREATE INDEX api_key_secrets_quiet ON api_key_secrets (key_id) WHERE quiet_s IS NOT NULL AND valid_until IS NULL;

-- Links that show a new secret to whoever opens them first. The secret is made
-- when that happens; until then there is nothing to find.
CREATE TABLE key_handovers (
  token_hash bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
  key_id     text NOT NULL REFERENCES api_keys ON DELETE RESTRICT,
  created_at timestamptz NOT NULL,
  created_by text NOT NULL,
  expires_at timestamptz NOT NULL,
  overlap_s  bigint NOT NULL CHECK (overlap_s >= 0),
  opened_at  timestamptz
);
CREATE INDEX key_handovers_key ON key_handovers (key_id);

-- Routers are told at once of whatever may end the use of a key.
CREATE FUNCTION api_keys_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('tallyroute_keys',
    NEW.id || ' ' || NEW.version || ' ' || (extract(epoch FROM clock_timestamp()) * 1000)::bigint);
  RETURN NULL;
END $$;
CREATE TRIGGER api_keys_tell
  AFTER UPDATE OF revoked_at, disabled_at, stopped_at, expires_at, rotated_at, archived_at ON api_keys
  FOR EACH ROW
  WHEN ((OLD.revoked_at, OLD.disabled_at, OLD.stopped_at, OLD.expires_at, OLD.rotated_at, OLD.archived_at)
        IS DISTINCT FROM (NEW.revoked_at, NEW.disabled_at, NEW.stopped_at, NEW.expires_at, NEW.rotated_at, NEW.archived_at))
  EXECUTE FUNCTION api_keys_tell();

-- Who changed what, and why. Written in the transaction of the change.
CREATE TABLE changes (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  changed_at timestamptz NOT NULL,
  actor      text NOT NULL CHECK (actor <> ''),
  action     text NOT NULL,
  object     text NOT NULL,
  reason     text NOT NULL DEFAULT '',
  detail     jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX changes_object ON changes (object, id);

-- What was added to a budget that is spent once. The limit of the budget has it.
CREATE TABLE top_ups (
  id          text PRIMARY KEY,
  budget_id   text NOT NULL REFERENCES budgets ON DELETE RESTRICT,
  amount_nano bigint NOT NULL CHECK (amount_nano BETWEEN 1 AND 1000000000000000000),
  reference   text NOT NULL CHECK (reference <> ''),
  actor       text NOT NULL CHECK (actor <> ''),
  reason      text NOT NULL DEFAULT '',
  added_at    timestamptz NOT NULL,
  UNIQUE (budget_id, reference)
);

CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER changes_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON changes
  FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER top_ups_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON top_ups
  FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- What a budget used before it was begun anew: used and this are the sum of the rows.
ALTER TABLE budget_counters
  ADD COLUMN forgiven_tokens bigint NOT NULL DEFAULT 0,
  ADD COLUMN forgiven_nano   bigint NOT NULL DEFAULT 0;
