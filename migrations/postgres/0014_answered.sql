-- Who answered, and what was sent that nobody has a price for. NULL where that is
-- what was asked for, where it is not known, and where nothing was.
ALTER TABLE spend_events
  ADD COLUMN answered_model   text, -- the provider's name of the model that answered, where that is another one
  ADD COLUMN unpriced_members jsonb; -- members of the request that may cost what is not known: ["speed"]

-- The kinds of events are the program's: another one needs no migration.
ALTER TABLE events DROP CONSTRAINT events_kind_check;
ALTER TABLE events ADD CONSTRAINT events_kind_check CHECK (kind ~ '^[a-z_]{1,32}$');
-- Old events are removed by when they were written.
CREATE INDEX events_recorded ON events (recorded_at);
