-- Keys that are made once under a name, secrets that are delivered by themselves, and
-- who used which key from where.

ALTER TABLE api_keys ADD COLUMN once      TEXT; -- hash of the Idempotency-Key that made it
ALTER TABLE api_keys ADD COLUMN once_body TEXT; -- and of what was asked for
CREATE UNIQUE INDEX api_keys_once ON api_keys (once) WHERE once IS NOT NULL;
CREATE INDEX api_keys_expiring ON api_keys (expires_at) WHERE revoked_at IS NULL AND expires_at IS NOT NULL;

-- Where the secret of a key is delivered whenever it is new. seed is of the secret that
-- is being delivered: it is drawn before anything else is done and cleared at the end,
-- so that whoever goes on after a crash comes to the same secret.
CREATE TABLE key_sinks (
  key_id       TEXT PRIMARY KEY REFERENCES api_keys ON DELETE RESTRICT,
  sink         TEXT NOT NULL CHECK (sink <> ''), -- its name in the configuration
  place        TEXT NOT NULL,                    -- within it
  overlap_s    INTEGER NOT NULL CHECK (overlap_s >= 0),
  removing     INTEGER NOT NULL DEFAULT 0 CHECK (removing IN (0, 1)), -- the copy is to be deleted
  seed         TEXT,
  claimed_till TEXT,
  due_at       TEXT,                             -- not before, after a failure
  failures     INTEGER NOT NULL DEFAULT 0,
  failure      TEXT NOT NULL DEFAULT '',
  delivered_at TEXT
) STRICT;

-- One row for each request to the public listener. It is a record of access and not of
-- spend: old rows are removed, and rows may be erased.
CREATE TABLE access_log (
  at         TEXT NOT NULL,
  request_id TEXT NOT NULL,
  key_id     TEXT NOT NULL DEFAULT '', -- '' where nobody's key was sent
  version    INTEGER NOT NULL DEFAULT 0,
  address    TEXT NOT NULL,
  user_agent TEXT NOT NULL,
  endpoint   TEXT NOT NULL,
  decision   TEXT NOT NULL, -- allowed, or the code of the error
  status     INTEGER NOT NULL,
  bytes_in   INTEGER NOT NULL,
  bytes_out  INTEGER NOT NULL
) STRICT;
CREATE INDEX access_log_at ON access_log (at);
CREATE INDEX access_log_key ON access_log (key_id, at);
