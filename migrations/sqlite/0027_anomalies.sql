-- What keys did, hour by hour, and what they were seen with: from which it is learned what
-- is usual of them.

CREATE TABLE key_hours (
  key_id   TEXT NOT NULL,
  hour     TEXT NOT NULL, -- its beginning
  requests INTEGER NOT NULL,
  errors   INTEGER NOT NULL, -- of the client
  denials  INTEGER NOT NULL,
  answers  INTEGER NOT NULL, -- in bytes
  tokens   INTEGER NOT NULL,
  nano     INTEGER NOT NULL,
  PRIMARY KEY (key_id, hour)
) STRICT, WITHOUT ROWID;
CREATE INDEX key_hours_hour ON key_hours (hour);

CREATE TABLE key_sights (
  key_id   TEXT NOT NULL,
  kind     TEXT NOT NULL CHECK (kind IN ('network', 'country', 'agent', 'model', 'told')),
  value    TEXT NOT NULL,
  first_at TEXT NOT NULL,
  last_at  TEXT NOT NULL,
  PRIMARY KEY (key_id, kind, value)
) STRICT, WITHOUT ROWID;

-- How far it was looked, and until when it is the turn of one router to look.
CREATE TABLE key_watch (
  one           INTEGER PRIMARY KEY DEFAULT 1 CHECK (one = 1),
  watched_at    TEXT NOT NULL DEFAULT '0001-01-01T00:00:00.000000000Z',
  claimed_until TEXT NOT NULL DEFAULT '0001-01-01T00:00:00.000000000Z'
) STRICT;
INSERT INTO key_watch DEFAULT VALUES;
