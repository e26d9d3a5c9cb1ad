-- Rows that the ledger refused count against the budgets until they are booked:
-- what they used is part of every counter, as if they were rows.

ALTER TABLE spend_rejects
  ADD COLUMN occurred_at timestamptz NOT NULL DEFAULT '1970-01-01T00:00:00Z',
  ADD COLUMN key_id      text NOT NULL DEFAULT '',
  ADD COLUMN project_id  text NOT NULL DEFAULT '',
  ADD COLUMN team_id     text NOT NULL DEFAULT '',
  -- What counters include of it. Rows that were kept aside before this column
  -- was there are in no counter.
  ADD COLUMN tokens      bigint NOT NULL DEFAULT 0 CHECK (tokens >= 0),
  ADD COLUMN nano        bigint NOT NULL DEFAULT 0 CHECK (nano >= 0),
  ADD COLUMN booked_at   timestamptz,
  ADD COLUMN booked_by   text NOT NULL DEFAULT '';
CREATE INDEX spend_rejects_waiting ON spend_rejects (occurred_at) WHERE booked_at IS NULL;
