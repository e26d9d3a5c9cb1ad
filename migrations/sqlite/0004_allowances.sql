-- Allowances that replicas hold in memory, and who holds them.

-- What replicas have leased of a window is spoken for: used + held + leased
-- never passes the limit by what is admitted.
ALTER TABLE budget_counters ADD COLUMN leased_tokens INTEGER NOT NULL DEFAULT 0 CHECK (leased_tokens BETWEEN 0 AND 1000000000000000);
ALTER TABLE budget_counters ADD COLUMN leased_nano INTEGER NOT NULL DEFAULT 0 CHECK (leased_nano BETWEEN 0 AND 1000000000000000000);
-- Until then nobody leases more of the window than requests in flight need,
-- and what lies idle is given back: a replica ran dry near the limit.
ALTER TABLE budget_counters ADD COLUMN exact_until TEXT NOT NULL DEFAULT '';

-- A process of a router that holds leases. The id stays with its journal, the
-- epoch is new at every start. A process that did not renew itself by
-- expires_at has stopped using its leases.
CREATE TABLE replicas (
  id         TEXT NOT NULL,
  epoch      TEXT NOT NULL,
  name       TEXT NOT NULL DEFAULT '',
  started_at TEXT NOT NULL,
  seen_at    TEXT NOT NULL,
  expires_at TEXT NOT NULL,
  -- The number of the last batch whose leases were accounted for, so that a
  -- batch that is sent again moves nothing twice.
  posted_seq INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (id, epoch)
) STRICT, WITHOUT ROWID;

-- What a process has leased of a window and not yet posted or given back. Of
-- it, busy was not idle at the last posting: held by requests in flight, or
-- used by settled ones whose rows were still to come.
CREATE TABLE leases (
  budget_id    TEXT NOT NULL REFERENCES budgets ON DELETE RESTRICT,
  window_start TEXT NOT NULL,
  replica_id   TEXT NOT NULL,
  epoch        TEXT NOT NULL,
  tokens       INTEGER NOT NULL DEFAULT 0 CHECK (tokens >= 0),
  nano         INTEGER NOT NULL DEFAULT 0 CHECK (nano >= 0),
  busy_tokens  INTEGER NOT NULL DEFAULT 0 CHECK (busy_tokens >= 0),
  busy_nano    INTEGER NOT NULL DEFAULT 0 CHECK (busy_nano >= 0),
  PRIMARY KEY (budget_id, window_start, replica_id, epoch),
  FOREIGN KEY (replica_id, epoch) REFERENCES replicas (id, epoch) ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;
CREATE INDEX leases_replica ON leases (replica_id, epoch);

-- Rows that the ledger refused, with all that is known of them, for an operator
-- to look at. They are in no sum.
CREATE TABLE spend_rejects (
  id          INTEGER PRIMARY KEY,
  rejected_at TEXT NOT NULL,
  request_id  TEXT NOT NULL,
  attempt     INTEGER NOT NULL,
  reason      TEXT NOT NULL,
  spend       BLOB NOT NULL,
  UNIQUE (request_id, attempt)
) STRICT;
