-- The organisation's rules for its keys, version by version; what they speak of that
-- keys and projects did not say; and reviews of who may do what.

ALTER TABLE api_keys ADD COLUMN client text NOT NULL DEFAULT 'server' CHECK (client IN ('server', 'browser'));
ALTER TABLE projects ADD COLUMN data_class text NOT NULL DEFAULT ''; -- such as confidential; '' is that nobody says

CREATE TABLE governance_rules (
  version bigint PRIMARY KEY CHECK (version > 0),
  rules   text NOT NULL, -- JSON, byte for byte what the digest is of
  sha256  text NOT NULL CHECK (length(sha256) = 64),
  author  text NOT NULL,
  reason  text NOT NULL CHECK (reason <> ''),
  made_at timestamptz NOT NULL
);
CREATE FUNCTION governance_rules_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'a version of the rules stays as it is' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER governance_rules_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON governance_rules
  FOR EACH STATEMENT EXECUTE FUNCTION governance_rules_stay();

-- Who has taken note of a version.
CREATE TABLE governance_acknowledgements (
  version bigint NOT NULL REFERENCES governance_rules ON DELETE RESTRICT,
  owner   text NOT NULL CHECK (owner <> ''), -- an address
  actor   text NOT NULL, -- who recorded it
  at      timestamptz NOT NULL,
  PRIMARY KEY (version, owner)
);

-- A review lists keys and grants, each of which somebody keeps, narrows or revokes. Its
-- number is one more than that of the one before: of several routers one begins it.
CREATE TABLE access_reviews (
  number     bigint PRIMARY KEY CHECK (number > 0),
  started_at timestamptz NOT NULL,
  due_at     timestamptz NOT NULL,
  started_by text NOT NULL
);
CREATE TABLE access_review_items (
  number     bigint NOT NULL REFERENCES access_reviews ON DELETE RESTRICT,
  kind       text NOT NULL CHECK (kind IN ('key', 'grant')),
  object     text NOT NULL, -- the id of the key or of the grant
  holder     text NOT NULL, -- the id of the key or of the principal
  facts      text NOT NULL, -- JSON: what it may do and how it was used, when the review began
  decision   text CHECK (decision IN ('keep', 'narrow', 'revoke')),
  decided_at timestamptz,
  decided_by text,
  reason     text,
  PRIMARY KEY (number, kind, object),
  CHECK ((decision IS NULL) = (decided_at IS NULL)),
  CHECK ((decision IS NULL) = (decided_by IS NULL)),
  CHECK ((decision IS NULL) = (reason IS NULL))
);
CREATE INDEX access_review_items_open ON access_review_items (number) WHERE decision IS NULL;
