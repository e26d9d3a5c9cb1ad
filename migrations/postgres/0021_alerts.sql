-- What somebody is told, once. A claim names the condition, the object, the threshold and
-- the period: of all routers, the one that inserts it tells. Where the condition comes and
-- goes (rearm_s), a claim that nobody has seen for so long ends, and makes room for another.
CREATE TABLE alerts (
  id          text PRIMARY KEY,
  claim       text NOT NULL CHECK (claim <> ''),
  kind        text NOT NULL CHECK (kind ~ '^[a-z_]{1,32}$'),
  object      text NOT NULL,
  severity    text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
  title       text NOT NULL,
  text        text NOT NULL,
  remedy      text NOT NULL DEFAULT '', -- what to do
  team_id     text NOT NULL DEFAULT '',
  team        text NOT NULL DEFAULT '',
  owner       text NOT NULL DEFAULT '', -- the address of who answers for the object
  data        jsonb NOT NULL DEFAULT '{}',
  occurred_at timestamptz NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  seen_at     timestamptz NOT NULL,
  rearm_s     bigint NOT NULL DEFAULT 0 CHECK (rearm_s >= 0),
  ended       boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX alerts_claim ON alerts (claim) WHERE NOT ended;
CREATE INDEX alerts_seen ON alerts (seen_at);
CREATE INDEX alerts_object ON alerts (object);

-- What is sent of an alert to a channel, until it is delivered or given up.
CREATE TABLE alert_notices (
  alert_id     text NOT NULL REFERENCES alerts ON DELETE CASCADE,
  channel      text NOT NULL CHECK (channel <> ''),
  due_at       timestamptz NOT NULL, -- of one that is being sent, when another router takes it up
  tries        integer NOT NULL DEFAULT 0,
  failure      text NOT NULL DEFAULT '', -- of the last try
  delivered_at timestamptz,
  dead_at      timestamptz,
  PRIMARY KEY (alert_id, channel)
);
CREATE INDEX alert_notices_due ON alert_notices (due_at) WHERE delivered_at IS NULL AND dead_at IS NULL;

-- How far the audit log was looked through for what owners are told.
CREATE TABLE alert_progress (
  one       boolean PRIMARY KEY DEFAULT true CHECK (one),
  audit_seq bigint NOT NULL
);
INSERT INTO alert_progress (audit_seq) SELECT last_seq FROM audit_ends;

-- Nobody is told of what happened before alerts were there.
ALTER TABLE events ADD COLUMN judged boolean NOT NULL DEFAULT true;
ALTER TABLE events ALTER COLUMN judged SET DEFAULT false;
CREATE INDEX events_unjudged ON events (id) WHERE NOT judged;

CREATE INDEX api_keys_expiry ON api_keys (expires_at) WHERE expires_at IS NOT NULL AND revoked_at IS NULL;

-- Keys that got into wrong hands, what was done about each, and the evidence as it was
-- sealed when that was done.
CREATE TABLE incidents (
  id            text PRIMARY KEY,
  key_id        text NOT NULL REFERENCES api_keys ON DELETE RESTRICT,
  action        text NOT NULL CHECK (action IN ('revoke', 'disable', 'narrow')),
  reason        text NOT NULL CHECK (reason <> ''),
  since         timestamptz NOT NULL, -- from when on its use is in doubt
  opened_at     timestamptz NOT NULL,
  opened_by     text NOT NULL,
  bundle        text NOT NULL, -- JSON, byte for byte what the digest is of
  bundle_sha256 text NOT NULL,
  signature     text NOT NULL DEFAULT '',
  public_key    text NOT NULL DEFAULT '',
  closed_at     timestamptz,
  closed_by     text,
  outcome       text,
  CHECK ((closed_at IS NULL) = (closed_by IS NULL)),
  CHECK ((closed_at IS NULL) = (outcome IS NULL))
);
CREATE INDEX incidents_key ON incidents (key_id);
CREATE FUNCTION incidents_are_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.id, NEW.key_id, NEW.action, NEW.reason, NEW.since, NEW.opened_at, NEW.opened_by, NEW.bundle, NEW.bundle_sha256, NEW.signature)
     IS DISTINCT FROM
     (OLD.id, OLD.key_id, OLD.action, OLD.reason, OLD.since, OLD.opened_at, OLD.opened_by, OLD.bundle, OLD.bundle_sha256, OLD.signature)
     OR OLD.closed_at IS NOT NULL THEN
    RAISE EXCEPTION 'an incident is sealed' USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER incidents_sealed BEFORE UPDATE ON incidents FOR EACH ROW EXECUTE FUNCTION incidents_are_sealed();
