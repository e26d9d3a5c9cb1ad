-- What somebody is told, once. A claim names the condition, the object, the threshold and
-- the period: of all routers, the one that inserts it tells. Where the condition comes and
-- goes (rearm_s), a claim that nobody has seen for so long ends, and makes room for another.
CREATE TABLE alerts (
  id          TEXT PRIMARY KEY,
  claim       TEXT NOT NULL CHECK (claim <> ''),
  kind        TEXT NOT NULL CHECK (kind NOT GLOB '*[^a-z_]*' AND length(kind) BETWEEN 1 AND 32),
  object      TEXT NOT NULL,
  severity    TEXT NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
  title       TEXT NOT NULL,
  text        TEXT NOT NULL,
  remedy      TEXT NOT NULL DEFAULT '', -- what to do
  team_id     TEXT NOT NULL DEFAULT '',
  team        TEXT NOT NULL DEFAULT '',
  owner       TEXT NOT NULL DEFAULT '', -- the address of who answers for the object
  data        TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(data)),
  occurred_at TEXT NOT NULL,
  recorded_at TEXT NOT NULL,
  seen_at     TEXT NOT NULL,
  rearm_s     INTEGER NOT NULL DEFAULT 0 CHECK (rearm_s >= 0),
  ended       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX alerts_claim ON alerts (claim) WHERE NOT ended;
CREATE INDEX alerts_seen ON alerts (seen_at);
CREATE INDEX alerts_object ON alerts (object);

-- What is sent of an alert to a channel, until it is delivered or given up.
CREATE TABLE alert_notices (
  alert_id     TEXT NOT NULL REFERENCES alerts ON DELETE CASCADE,
  channel      TEXT NOT NULL CHECK (channel <> ''),
  due_at       TEXT NOT NULL, -- of one that is being sent, when another router takes it up
  tries        INTEGER NOT NULL DEFAULT 0,
  failure      TEXT NOT NULL DEFAULT '', -- of the last try
  delivered_at TEXT,
  dead_at      TEXT,
  PRIMARY KEY (alert_id, channel)
) STRICT;
CREATE INDEX alert_notices_due ON alert_notices (due_at) WHERE delivered_at IS NULL AND dead_at IS NULL;

-- How far the audit log was looked through for what owners are told.
CREATE TABLE alert_progress (
  one       INTEGER PRIMARY KEY DEFAULT 1 CHECK (one = 1),
  audit_seq INTEGER NOT NULL
) STRICT;
INSERT INTO alert_progress (audit_seq) SELECT last_seq FROM audit_ends;

-- Nobody is told of what happened before alerts were there.
ALTER TABLE events ADD COLUMN judged INTEGER NOT NULL DEFAULT 0;
UPDATE events SET judged = 1;
CREATE INDEX events_unjudged ON events (id) WHERE NOT judged;

CREATE INDEX api_keys_expiry ON api_keys (expires_at) WHERE expires_at IS NOT NULL AND revoked_at IS NULL;

-- Keys that got into wrong hands, what was done about each, and the evidence as it was
-- sealed when that was done.
CREATE TABLE incidents (
  id            TEXT PRIMARY KEY,
  key_id        TEXT NOT NULL REFERENCES api_keys ON DELETE RESTRICT,
  action        TEXT NOT NULL CHECK (action IN ('revoke', 'disable', 'narrow')),
  reason        TEXT NOT NULL CHECK (reason <> ''),
  since         TEXT NOT NULL, -- from when on its use is in doubt
  opened_at     TEXT NOT NULL,
  opened_by     TEXT NOT NULL,
  bundle        TEXT NOT NULL, -- JSON, byte for byte what the digest is of
  bundle_sha256 TEXT NOT NULL,
  signature     TEXT NOT NULL DEFAULT '',
  public_key    TEXT NOT NULL DEFAULT '',
  closed_at     TEXT,
  closed_by     TEXT,
  outcome       TEXT,
  CHECK ((closed_at IS NULL) = (closed_by IS NULL)),
  CHECK ((closed_at IS NULL) = (outcome IS NULL))
) STRICT;
CREATE INDEX incidents_key ON incidents (key_id);
CREATE TRIGGER incidents_sealed BEFORE UPDATE ON incidents
WHEN OLD.closed_at IS NOT NULL OR (NEW.id, NEW.key_id, NEW.action, NEW.reason, NEW.since, NEW.opened_at, NEW.opened_by, NEW.bundle,
     NEW.bundle_sha256, NEW.signature)
  IS NOT (OLD.id, OLD.key_id, OLD.action, OLD.reason, OLD.since, OLD.opened_at, OLD.opened_by, OLD.bundle, OLD.bundle_sha256, OLD.signature)
BEGIN
  SELECT RAISE(ABORT, 'an incident is sealed');
END;
