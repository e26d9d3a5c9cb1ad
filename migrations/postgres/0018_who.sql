-- Who may administer, and an audit log whose records are chained by their hashes.

ALTER TABLE changes RENAME TO audit_log;
ALTER INDEX changes_object RENAME TO audit_log_object;
ALTER TRIGGER changes_append_only ON audit_log RENAME TO audit_log_append_only;
ALTER TABLE audit_log
  ADD COLUMN seq     bigint UNIQUE CHECK (seq > 0), -- NULL: written before there was a chain
  ADD COLUMN role    text NOT NULL DEFAULT '',
  ADD COLUMN source  text NOT NULL DEFAULT '',      -- the address or host that it came from
  ADD COLUMN outcome text NOT NULL DEFAULT 'done' CHECK (outcome IN ('done', 'denied', 'failed')),
  ADD COLUMN hash    text CHECK (length(hash) = 64),
  ADD CONSTRAINT audit_log_chained CHECK ((seq IS NULL) = (hash IS NULL));
CREATE INDEX audit_log_changed_at ON audit_log (changed_at);

-- The ends of the chain: the record before the first that is kept, and the last.
CREATE TABLE audit_ends (
  one         boolean PRIMARY KEY DEFAULT true CHECK (one),
  before_seq  bigint NOT NULL DEFAULT 0,
  before_hash text   NOT NULL DEFAULT repeat('0', 64) CHECK (length(before_hash) = 64),
  last_seq    bigint NOT NULL DEFAULT 0,
  last_hash   text   NOT NULL DEFAULT repeat('0', 64) CHECK (length(last_hash) = 64)
);
INSERT INTO audit_ends DEFAULT VALUES;

-- Records may go once they are older than they have to be kept, from the first on.
CREATE OR REPLACE FUNCTION audit_log_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' AND current_setting('tallyroute.audit_retention', true) = 'on' THEN
    RETURN NULL;
  END IF;
  RAISE EXCEPTION 'audit_log is append-only' USING ERRCODE = 'restrict_violation';
END $$;
DROP TRIGGER audit_log_append_only ON audit_log;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION audit_log_kept();

-- People and services who administer. The static admin token is none of them.
CREATE TABLE principals (
  id           text PRIMARY KEY,
  kind         text NOT NULL CHECK (kind IN ('user', 'service')),
  name         text NOT NULL CHECK (name <> ''),
  email        text NOT NULL DEFAULT '',
  issuer       text, -- of the identity provider; NULL until the first login
  subject      text,
  created_at   timestamptz NOT NULL,
  created_by   text NOT NULL,
  disabled_at  timestamptz,
  last_seen_at timestamptz,
  version      bigint NOT NULL DEFAULT 1,
  CHECK ((issuer IS NULL) = (subject IS NULL)),
  UNIQUE (issuer, subject)
);
CREATE UNIQUE INDEX principals_name ON principals (name);

-- What a principal may do, and where. A grant that ends stays.
CREATE TABLE grants (
  id           text PRIMARY KEY,
  principal_id text NOT NULL REFERENCES principals ON DELETE RESTRICT,
  role         text NOT NULL CHECK (role <> ''),
  scope        text NOT NULL CHECK (scope IN ('org', 'team', 'project')),
  scope_id     text NOT NULL,
  created_at   timestamptz NOT NULL,
  created_by   text NOT NULL,
  approved_by  text NOT NULL DEFAULT '',
  reason       text NOT NULL DEFAULT '',
  expires_at   timestamptz,
  ended_at     timestamptz,
  from_group   text NOT NULL DEFAULT '' -- of the identity provider, which the grant came from
);
CREATE INDEX grants_principal ON grants (principal_id) WHERE ended_at IS NULL;

-- Only hashes of tokens and sessions are stored.
CREATE TABLE admin_tokens (
  id           text PRIMARY KEY,
  principal_id text NOT NULL REFERENCES principals ON DELETE RESTRICT,
  name         text NOT NULL CHECK (name <> ''),
  display      text NOT NULL,
  hash         bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
  created_at   timestamptz NOT NULL,
  created_by   text NOT NULL,
  expires_at   timestamptz,
  ended_at     timestamptz,
  last_used_at timestamptz
);
CREATE INDEX admin_tokens_principal ON admin_tokens (principal_id);

CREATE TABLE admin_sessions (
  id               text PRIMARY KEY,
  principal_id     text NOT NULL REFERENCES principals ON DELETE RESTRICT,
  hash             bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
  created_at       timestamptz NOT NULL,
  authenticated_at timestamptz NOT NULL,
  expires_at       timestamptz NOT NULL,
  last_used_at     timestamptz NOT NULL,
  ended_at         timestamptz,
  source           text NOT NULL DEFAULT '',
  user_agent       text NOT NULL DEFAULT '',
  strength         text NOT NULL DEFAULT '' -- amr and acr of the login
);
CREATE INDEX admin_sessions_principal ON admin_sessions (principal_id);
