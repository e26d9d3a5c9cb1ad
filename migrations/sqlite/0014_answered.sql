-- Who answered, and what was sent that nobody has a price for. NULL where that is
-- what was asked for, where it is not known, and where nothing was.
ALTER TABLE spend_events ADD COLUMN answered_model TEXT; -- the provider's name of the model that answered, where that is another one
ALTER TABLE spend_events ADD COLUMN unpriced_members TEXT; -- members of the request that may cost what is not known: ["speed"]

-- The kinds of events are the program's: another one needs no migration.
CREATE TABLE events_14 (
  id          INTEGER PRIMARY KEY,
  dedup_id    TEXT NOT NULL UNIQUE,
  occurred_at TEXT NOT NULL,
  kind        TEXT NOT NULL CHECK (length(kind) BETWEEN 1 AND 32 AND kind NOT GLOB '*[^a-z_]*'),
  object      TEXT NOT NULL,
  severity    TEXT NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
  text        TEXT NOT NULL,
  data        TEXT NOT NULL DEFAULT '{}',
  recorded_at TEXT NOT NULL
) STRICT;
INSERT INTO events_14 SELECT id, dedup_id, occurred_at, kind, object, severity, text, data, recorded_at FROM events;
DROP TABLE events;
ALTER TABLE events_14 RENAME TO events;
-- Old events are removed by when they were written.
CREATE INDEX events_recorded ON events (recorded_at);
