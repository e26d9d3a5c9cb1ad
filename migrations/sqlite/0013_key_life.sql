-- The life of a key: what it is for and whose it is, the versions of its secret,
-- links that hand it over; who changed what; budgets that are begun anew or topped up.

ALTER TABLE api_keys ADD COLUMN purpose         TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN owner           TEXT NOT NULL DEFAULT ''; -- an address
ALTER TABLE api_keys ADD COLUMN sensitivity     TEXT NOT NULL DEFAULT 'normal' CHECK (sensitivity IN ('critical', 'high', 'normal', 'low'));
ALTER TABLE api_keys ADD COLUMN rotate_every_s  INTEGER NOT NULL DEFAULT 0 CHECK (rotate_every_s >= 0); -- 0 is what the sensitivity says
ALTER TABLE api_keys ADD COLUMN rotated_at      TEXT; -- when its newest secret was made
ALTER TABLE api_keys ADD COLUMN disabled_at     TEXT;
ALTER TABLE api_keys ADD COLUMN disabled_by     TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN disabled_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN archived_at     TEXT;
UPDATE api_keys SET rotated_at = created_at;

-- A version ends at valid_until, or once it was not used for quiet_s seconds.
ALTER TABLE api_key_secrets ADD COLUMN display      TEXT NOT NULL DEFAULT '';
ALTER TABLE api_key_secrets ADD COLUMN quiet_s      INTEGER CHECK (quiet_s > 0);
ALTER TABLE api_key_secrets ADD COLUMN last_used_at TEXT;
ALTER TABLE api_key_secrets ADD COLUMN once         TEXT; -- hash of the Idempotency-Key of its rotation
ALTER TABLE api_key_secrets ADD COLUMN usage        TEXT NOT NULL DEFAULT '' CHECK (length(CAST(usage AS BLOB)) <= 1024); -- the last hour, in JSON
UPDATE api_key_secrets SET display = (SELECT display FROM api_keys WHERE id = key_id);
CREATE UNIQUE INDEX api_key_secrets_once ON api_key_secrets (key_id, once) WHERE once IS NOT NULL;
CREATE INDEX api_key_secrets_quiet ON api_key_secrets (key_id) WHERE quiet_s IS NOT NULL AND valid_until IS NULL;

-- Links that show a new secret to whoever opens them first. The secret is made
-- when that happens; until then there is nothing to find.
CREATE TABLE key_handovers (
  token_hash BLOB PRIMARY KEY CHECK (length(token_hash) = 32),
  key_id     TEXT NOT NULL REFERENCES api_keys ON DELETE RESTRICT,
  created_at TEXT NOT NULL,
  created_by TEXT NOT NULL,
  expires_at TEXT NOT NULL,
  overlap_s  INTEGER NOT NULL CHECK (overlap_s >= 0),
  opened_at  TEXT
) STRICT;
CREATE INDEX key_handovers_key ON key_handovers (key_id);

-- Who changed what, and why. Written in the transaction of the change.
CREATE TABLE changes (
  id         INTEGER PRIMARY KEY,
  changed_at TEXT NOT NULL,
  actor      TEXT NOT NULL CHECK (actor <> ''),
  action     TEXT NOT NULL,
  object     TEXT NOT NULL,
  reason     TEXT NOT NULL DEFAULT '',
  detail     TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(detail))
) STRICT;
CREATE INDEX changes_object ON changes (object, id);

CREATE TRIGGER changes_no_update BEFORE UPDATE ON changes
BEGIN
  SELECT RAISE(ABORT, 'changes is append-only');
END;
CREATE TRIGGER changes_no_delete BEFORE DELETE ON changes
BEGIN
  SELECT RAISE(ABORT, 'changes is append-only');
END;

-- What was added to a budget that is spent once. The limit of the budget has it.
CREATE TABLE top_ups (
  id          TEXT PRIMARY KEY,
  budget_id   TEXT NOT NULL REFERENCES budgets ON DELETE RESTRICT,
  amount_nano INTEGER NOT NULL CHECK (amount_nano BETWEEN 1 AND 1000000000000000000),
  reference   TEXT NOT NULL CHECK (reference <> ''),
  actor       TEXT NOT NULL CHECK (actor <> ''),
  reason      TEXT NOT NULL DEFAULT '',
  added_at    TEXT NOT NULL,
  UNIQUE (budget_id, reference)
) STRICT;

CREATE TRIGGER top_ups_no_update BEFORE UPDATE ON top_ups
BEGIN
  SELECT RAISE(ABORT, 'top_ups is append-only');
END;
CREATE TRIGGER top_ups_no_delete BEFORE DELETE ON top_ups
BEGIN
  SELECT RAISE(ABORT, 'top_ups is append-only');
END;

-- What a budget used before it was begun anew: used and this are the sum of the rows.
ALTER TABLE budget_counters ADD COLUMN forgiven_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE budget_counters ADD COLUMN forgiven_nano   INTEGER NOT NULL DEFAULT 0;
