-- Allowances that replicas hold in memory, and who holds them.

-- What replicas have leased of a window is spoken for: used + held + leased
-- never passes the limit by what is admitted.
ALTER TABLE budget_counters
  ADD COLUMN leased_tokens bigint NOT NULL DEFAULT 0 CHECK (leased_tokens >= 0),
  ADD COLUMN leased_nano   bigint NOT NULL DEFAULT 0 CHECK (leased_nano >= 0),
  -- Until then nobody leases more of the window than requests in flight need,
  -- and what lies idle is given back: a replica ran dry near the limit.
  ADD COLUMN exact_until   timestamptz NOT NULL DEFAULT '-infinity';

-- A process of a router that holds leases. The id stays with its journal, the
-- epoch is new at every start. A process that did not renew itself by
-- expires_at has stopped using its leases.
CREATE TABLE replicas (
  id         text NOT NULL,
  epoch      text NOT NULL,
  name       text NOT NULL DEFAULT '',
  started_at timestamptz NOT NULL DEFAULT now(),
  seen_at    timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  -- The number of the last batch whose leases were accounted for, so that a
  -- batch that is sent again moves nothing twice.
  posted_seq bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (id, epoch)
) WITH (fillfactor = 50);

-- What a process has leased of a window and not yet posted or given back. Of
-- it, busy was not idle at the last posting: held by requests in flight, or
-- used by settled ones whose rows were still to come.
CREATE TABLE leases (
  budget_id    text NOT NULL REFERENCES budgets ON DELETE RESTRICT,
  window_start timestamptz NOT NULL,
  replica_id   text NOT NULL,
  epoch        text NOT NULL,
  tokens       bigint NOT NULL DEFAULT 0 CHECK (tokens >= 0),
  nano         bigint NOT NULL DEFAULT 0 CHECK (nano >= 0),
  busy_tokens  bigint NOT NULL DEFAULT 0 CHECK (busy_tokens >= 0),
  busy_nano    bigint NOT NULL DEFAULT 0 CHECK (busy_nano >= 0),
  PRIMARY KEY (budget_id, window_start, replica_id, epoch),
  FOREIGN KEY (replica_id, epoch) REFERENCES replicas ON DELETE RESTRICT
) WITH (fillfactor = 50);
CREATE INDEX leases_replica ON leases (replica_id, epoch);

-- Rows that the ledger refused, with all that is known of them, for an operator
-- to look at. They are in no sum.
CREATE TABLE spend_rejects (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  rejected_at timestamptz NOT NULL DEFAULT now(),
  request_id  text NOT NULL,
  attempt     int NOT NULL,
  reason      text NOT NULL,
  spend       bytea NOT NULL,
  UNIQUE (request_id, attempt)
);
