-- Rows that the ledger refused count against the budgets until they are booked:
-- what they used is part of every counter, as if they were rows.

ALTER TABLE spend_rejects ADD COLUMN occurred_at TEXT NOT NULL DEFAULT '1970-01-01T00:00:00.000000000Z';
ALTER TABLE spend_rejects ADD COLUMN key_id TEXT NOT NULL DEFAULT '';
ALTER TABLE spend_rejects ADD COLUMN project_id TEXT NOT NULL DEFAULT '';
ALTER TABLE spend_rejects ADD COLUMN team_id TEXT NOT NULL DEFAULT '';
-- What counters include of it. Rows that were kept aside before this column was
-- there are in no counter.
ALTER TABLE spend_rejects ADD COLUMN tokens INTEGER NOT NULL DEFAULT 0 CHECK (tokens >= 0);
ALTER TABLE spend_rejects ADD COLUMN nano INTEGER NOT NULL DEFAULT 0 CHECK (nano >= 0);
ALTER TABLE spend_rejects ADD COLUMN booked_at TEXT;
ALTER TABLE spend_rejects ADD COLUMN booked_by TEXT NOT NULL DEFAULT '';
CREATE INDEX spend_rejects_waiting ON spend_rejects (occurred_at) WHERE booked_at IS NULL;
