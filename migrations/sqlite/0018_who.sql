-- Who may administer, and an audit log whose records are chained by their hashes.

ALTER TABLE changes RENAME TO audit_log;
DROP INDEX changes_object;
CREATE INDEX audit_log_object ON audit_log (object, id);
DROP TRIGGER changes_no_update;
DROP TRIGGER changes_no_delete;
ALTER TABLE audit_log ADD COLUMN seq     INTEGER CHECK (seq > 0); -- NULL: written before there was a chain
ALTER TABLE audit_log ADD COLUMN role    TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_log ADD COLUMN source  TEXT NOT NULL DEFAULT ''; -- the address or host that it came from
ALTER TABLE audit_log ADD COLUMN outcome TEXT NOT NULL DEFAULT 'done' CHECK (outcome IN ('done', 'denied', 'failed'));
ALTER TABLE audit_log ADD COLUMN hash    TEXT CHECK (length(hash) = 64);
CREATE UNIQUE INDEX audit_log_seq ON audit_log (seq);
CREATE INDEX audit_log_changed_at ON audit_log (changed_at);

-- The ends of the chain: the record before the first that is kept, and the last.
CREATE TABLE audit_ends (
  one         INTEGER PRIMARY KEY DEFAULT 1 CHECK (one = 1),
  before_seq  INTEGER NOT NULL DEFAULT 0,
  before_hash TEXT NOT NULL DEFAULT '0000000000000000000000000000000000000000000000000000000000000000' CHECK (length(before_hash) = 64),
  last_seq    INTEGER NOT NULL DEFAULT 0,
  last_hash   TEXT NOT NULL DEFAULT '0000000000000000000000000000000000000000000000000000000000000000' CHECK (length(last_hash) = 64)
) STRICT;
INSERT INTO audit_ends DEFAULT VALUES;

CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
BEGIN
  SELECT RAISE(ABORT, 'audit_log is append-only');
END;
-- Records may go once they are older than they have to be kept, from the first on:
-- after audit_ends says so.
CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
WHEN OLD.seq IS NULL OR OLD.seq > (SELECT before_seq FROM audit_ends)
BEGIN
  SELECT RAISE(ABORT, 'audit_log is append-only');
END;

-- People and services who administer. The static admin token is none of them.
CREATE TABLE principals (
  id           TEXT PRIMARY KEY,
  kind         TEXT NOT NULL CHECK (kind IN ('user', 'service')),
  name         TEXT NOT NULL CHECK (name <> ''),
  email        TEXT NOT NULL DEFAULT '',
  issuer       TEXT, -- of the identity provider; NULL until the first login
  subject      TEXT,
  created_at   TEXT NOT NULL,
  created_by   TEXT NOT NULL,
  disabled_at  TEXT,
  last_seen_at TEXT,
  version      INTEGER NOT NULL DEFAULT 1,
  CHECK ((issuer IS NULL) = (subject IS NULL)),
  UNIQUE (issuer, subject)
) STRICT;
CREATE UNIQUE INDEX principals_name ON principals (name);

-- What a principal may do, and where. A grant that ends stays.
CREATE TABLE grants (
  id           TEXT PRIMARY KEY,
  principal_id TEXT NOT NULL REFERENCES principals ON DELETE RESTRICT,
  role         TEXT NOT NULL CHECK (role <> ''),
  scope        TEXT NOT NULL CHECK (scope IN ('org', 'team', 'project')),
  scope_id     TEXT NOT NULL,
  created_at   TEXT NOT NULL,
  created_by   TEXT NOT NULL,
  approved_by  TEXT NOT NULL DEFAULT '',
  reason       TEXT NOT NULL DEFAULT '',
  expires_at   TEXT,
  ended_at     TEXT,
  from_group   TEXT NOT NULL DEFAULT '' -- of the identity provider, which the grant came from
) STRICT;
CREATE INDEX grants_principal ON grants (principal_id) WHERE ended_at IS NULL;

-- Only hashes of tokens and sessions are stored.
CREATE TABLE admin_tokens (
  id           TEXT PRIMARY KEY,
  principal_id TEXT NOT NULL REFERENCES principals ON DELETE RESTRICT,
  name         TEXT NOT NULL CHECK (name <> ''),
  display      TEXT NOT NULL,
  hash         BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
  created_at   TEXT NOT NULL,
  created_by   TEXT NOT NULL,
  expires_at   TEXT,
  ended_at     TEXT,
  last_used_at TEXT
) STRICT;
CREATE INDEX admin_tokens_principal ON admin_tokens (principal_id);

CREATE TABLE admin_sessions (
  id               TEXT PRIMARY KEY,
  principal_id     TEXT NOT NULL REFERENCES principals ON DELETE RESTRICT,
  hash             BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
  created_at       TEXT NOT NULL,
  authenticated_at TEXT NOT NULL,
  expires_at       TEXT NOT NULL,
  last_used_at     TEXT NOT NULL,
  ended_at         TEXT,
  source           TEXT NOT NULL DEFAULT '',
  user_agent       TEXT NOT NULL DEFAULT '',
  strength         TEXT NOT NULL DEFAULT '' -- amr and acr of the login
) STRICT;
CREATE INDEX admin_sessions_principal ON admin_sessions (principal_id);
