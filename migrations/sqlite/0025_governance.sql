-- The organisation's rules for its keys, version by version; what they speak of that
-- keys and projects did not say; and reviews of who may do what.

ALTER TABLE api_keys ADD COLUMN client TEXT NOT NULL DEFAULT 'server' CHECK (client IN ('server', 'browser'));
ALTER TABLE projects ADD COLUMN data_class TEXT NOT NULL DEFAULT ''; -- such as confidential; '' is that nobody says

CREATE TABLE governance_rules (
  version INTEGER PRIMARY KEY CHECK (version > 0),
  rules   TEXT NOT NULL, -- JSON, byte for byte what the digest is of
  sha256  TEXT NOT NULL CHECK (length(sha256) = 64),
  author  TEXT NOT NULL,
  reason  TEXT NOT NULL CHECK (reason <> ''),
  made_at TEXT NOT NULL
) STRICT;
CREATE TRIGGER governance_rules_no_update BEFORE UPDATE ON governance_rules
BEGIN
  SELECT RAISE(ABORT, 'a version of the rules stays as it is');
END;
CREATE TRIGGER governance_rules_no_delete BEFORE DELETE ON governance_rules
BEGIN
  SELECT RAISE(ABORT, 'a version of the rules stays as it is');
END;

-- Who has taken note of a version.
CREATE TABLE governance_acknowledgements (
  version INTEGER NOT NULL REFERENCES governance_rules ON DELETE RESTRICT,
  owner   TEXT NOT NULL CHECK (owner <> ''), -- an address
  actor   TEXT NOT NULL, -- who recorded it
  at      TEXT NOT NULL,
  PRIMARY KEY (version, owner)
) STRICT;

-- A review lists keys and grants, each of which somebody keeps, narrows or revokes. Its
-- number is one more than that of the one before: of several routers one begins it.
CREATE TABLE access_reviews (
  number     INTEGER PRIMARY KEY CHECK (number > 0),
  started_at TEXT NOT NULL,
  due_at     TEXT NOT NULL,
  started_by TEXT NOT NULL
) STRICT;
CREATE TABLE access_review_items (
  number     INTEGER NOT NULL REFERENCES access_reviews ON DELETE RESTRICT,
  kind       TEXT NOT NULL CHECK (kind IN ('key', 'grant')),
  object     TEXT NOT NULL, -- the id of the key or of the grant
  holder     TEXT NOT NULL, -- the id of the key or of the principal
  facts      TEXT NOT NULL, -- JSON: what it may do and how it was used, when the review began
  decision   TEXT CHECK (decision IN ('keep', 'narrow', 'revoke')),
  decided_at TEXT,
  decided_by TEXT,
  reason     TEXT,
  PRIMARY KEY (number, kind, object),
  CHECK ((decision IS NULL) = (decided_at IS NULL)),
  CHECK ((decision IS NULL) = (decided_by IS NULL)),
  CHECK ((decision IS NULL) = (reason IS NULL))
) STRICT;
CREATE INDEX access_review_items_open ON access_review_items (number) WHERE decision IS NULL;
