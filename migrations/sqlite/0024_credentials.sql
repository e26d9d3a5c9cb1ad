-- Credentials of providers that administrators have stored, and providers that they have
-- described. A secret is sealed under a key that is not in the database.
CREATE TABLE credentials (
  id          TEXT PRIMARY KEY,
  provider    TEXT NOT NULL CHECK (provider <> ''),
  name        TEXT NOT NULL CHECK (name <> ''),
  owner       TEXT NOT NULL DEFAULT '',
  weight      INTEGER NOT NULL DEFAULT 1 CHECK (weight BETWEEN 0 AND 1000),
  created_at  TEXT NOT NULL,
  created_by  TEXT NOT NULL DEFAULT '',
  expires_at  TEXT,
  disabled_at TEXT,
  UNIQUE (provider, name)
) STRICT;

-- The secrets of a credential: during an overlap there are two.
CREATE TABLE credential_versions (
  credential_id TEXT NOT NULL REFERENCES credentials ON DELETE CASCADE,
  number        INTEGER NOT NULL CHECK (number > 0),
  sealed        BLOB NOT NULL CHECK (length(sealed) > 0),
  remote_id     TEXT NOT NULL DEFAULT '', -- by which the provider knows one that it has made
  created_at    TEXT NOT NULL,
  ends_at       TEXT, -- of one that was replaced
  PRIMARY KEY (credential_id, number)
) STRICT;

CREATE TABLE stored_providers (
  name       TEXT PRIMARY KEY CHECK (name <> ''),
  document   TEXT NOT NULL, -- as the configuration would have it; it refers to no secrets
  updated_at TEXT NOT NULL,
  updated_by TEXT NOT NULL DEFAULT ''
) STRICT;

-- Counts the changes of the tables above, so that routers can tell cheaply that there was one.
CREATE TABLE provider_changes (
  one      INTEGER PRIMARY KEY DEFAULT 1 CHECK (one = 1),
  revision INTEGER NOT NULL
) STRICT;
INSERT INTO provider_changes (revision) VALUES (0);

-- When credentials were last used, those of configurations included.
CREATE TABLE credential_uses (
  provider   TEXT NOT NULL,
  credential TEXT NOT NULL,
  used_at    TEXT,
  failed_at  TEXT,
  failure    TEXT NOT NULL DEFAULT '', -- of failed_at: a kind of error
  PRIMARY KEY (provider, credential)
) STRICT;
