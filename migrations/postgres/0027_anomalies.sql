-- What keys did, hour by hour, and what they were seen with: from which it is learned what
-- is usual of them.

CREATE TABLE key_hours (
  key_id   text NOT NULL,
  hour     timestamptz NOT NULL, -- its beginning
  requests bigint NOT NULL,
  errors   bigint NOT NULL, -- of the client
  denials  bigint NOT NULL,
  answers  bigint NOT NULL, -- in bytes
  tokens   bigint NOT NULL,
  nano     bigint NOT NULL,
  PRIMARY KEY (key_id, hour)
) WITH (fillfactor = 70);
CREATE INDEX key_hours_hour ON key_hours (hour);

CREATE TABLE key_sights (
  key_id   text NOT NULL,
  kind     text NOT NULL CHECK (kind IN ('network', 'country', 'agent', 'model', 'told')),
  value    text NOT NULL,
  first_at timestamptz NOT NULL,
  last_at  timestamptz NOT NULL,
  PRIMARY KEY (key_id, kind, value)
) WITH (fillfactor = 70);

-- How far it was looked, and until when it is the turn of one router to look.
CREATE TABLE key_watch (
  one           boolean PRIMARY KEY DEFAULT true CHECK (one),
  watched_at    timestamptz NOT NULL DEFAULT '-infinity',
  claimed_until timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO key_watch DEFAULT VALUES;

-- Entries come in the order of their time.
CREATE INDEX access_log_at ON access_log USING brin (at) WITH (pages_per_range = 16);
