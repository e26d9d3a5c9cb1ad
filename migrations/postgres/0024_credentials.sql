-- Credentials of providers that administrators have stored, and providers that they have
-- described. A secret is sealed under a key that is not in the database.
CREATE TABLE credentials (
  id          text PRIMARY KEY,
  provider    text NOT NULL CHECK (provider <> ''),
  name        text NOT NULL CHECK (name <> ''),
  owner       text NOT NULL DEFAULT '',
  weight      integer NOT NULL DEFAULT 1 CHECK (weight BETWEEN 0 AND 1000),
  created_at  timestamptz NOT NULL,
  created_by  text NOT NULL DEFAULT '',
  expires_at  timestamptz,
  disabled_at timestamptz,
  UNIQUE (provider, name)
);

-- The secrets of a credential: during an overlap there are two.
CREATE TABLE credential_versions (
  credential_id text NOT NULL REFERENCES credentials ON DELETE CASCADE,
  number        integer NOT NULL CHECK (number > 0),
  sealed        bytea NOT NULL CHECK (length(sealed) > 0),
  remote_id     text NOT NULL DEFAULT '', -- by which the provider knows one that it has made
  created_at    timestamptz NOT NULL,
  ends_at       timestamptz, -- of one that was replaced
  PRIMARY KEY (credential_id, number)
);

CREATE TABLE stored_providers (
  name       text PRIMARY KEY CHECK (name <> ''),
  document   text NOT NULL, -- as the configuration would have it; it refers to no secrets
  updated_at timestamptz NOT NULL,
  updated_by text NOT NULL DEFAULT ''
);

-- Counts the changes of the tables above, so that routers can tell cheaply that there was one.
CREATE TABLE provider_changes (
  one      boolean PRIMARY KEY DEFAULT true CHECK (one),
  revision bigint NOT NULL
);
INSERT INTO provider_changes (revision) VALUES (0);

-- When credentials were last used, those of configurations included.
CREATE TABLE credential_uses (
  provider   text NOT NULL,
  credential text NOT NULL,
  used_at    timestamptz,
  failed_at  timestamptz,
  failure    text NOT NULL DEFAULT '', -- of failed_at: a kind of error
  PRIMARY KEY (provider, credential)
);
