-- What members of teams make for themselves, what they ask for, what becomes of their
-- keys once they have left; grants with conditions; and who is sent the audit log.

ALTER TABLE grants ADD COLUMN must TEXT NOT NULL DEFAULT ''; -- a condition; '' is none

ALTER TABLE api_keys ADD COLUMN owner_id TEXT REFERENCES principals ON DELETE RESTRICT; -- whose key it is
CREATE INDEX api_keys_owner ON api_keys (owner_id) WHERE owner_id IS NOT NULL;

-- How much the members of a team may make for themselves. Amounts are of all keys of one
-- member together.
CREATE TABLE team_ceilings (
  team_id       TEXT PRIMARY KEY REFERENCES teams ON DELETE RESTRICT,
  keys          INTEGER NOT NULL CHECK (keys BETWEEN 1 AND 1000), -- in force, of one member
  period        TEXT NOT NULL CHECK (period IN ('minute', 'day', 'week', 'month', 'quarter', 'year', 'once')),
  zone          TEXT NOT NULL DEFAULT '',
  amount_nano   INTEGER CHECK (amount_nano BETWEEN 0 AND 1000000000000000000),
  token_limit   INTEGER CHECK (token_limit BETWEEN 0 AND 1000000000000000),
  request_limit INTEGER CHECK (request_limit BETWEEN 0 AND 1000000000000000),
  life_s        INTEGER NOT NULL DEFAULT 0 CHECK (life_s >= 0), -- 0: no bound
  models        TEXT NOT NULL DEFAULT '[]', -- as JSON; [] is all
  updated_at    TEXT NOT NULL,
  updated_by    TEXT NOT NULL
) STRICT;

-- What members ask for: that the limits of a budget be higher for a time.
CREATE TABLE raise_requests (
  id           TEXT PRIMARY KEY,
  budget_id    TEXT NOT NULL REFERENCES budgets ON DELETE RESTRICT,
  key_id       TEXT NOT NULL REFERENCES api_keys ON DELETE RESTRICT,
  principal_id TEXT NOT NULL REFERENCES principals ON DELETE RESTRICT,
  tokens       INTEGER NOT NULL DEFAULT 0 CHECK (tokens BETWEEN 0 AND 1000000000000000),
  nano         INTEGER NOT NULL DEFAULT 0 CHECK (nano BETWEEN 0 AND 1000000000000000000),
  requests     INTEGER NOT NULL DEFAULT 0 CHECK (requests BETWEEN 0 AND 1000000000000000),
  ends_at      TEXT NOT NULL,
  reason       TEXT NOT NULL CHECK (reason <> ''),
  asked_at     TEXT NOT NULL,
  outcome      TEXT NOT NULL DEFAULT 'pending' CHECK (outcome IN ('pending', 'approved', 'declined')),
  decided_at   TEXT,
  decided_by   TEXT NOT NULL DEFAULT '',
  answer       TEXT NOT NULL DEFAULT '',
  CHECK (tokens + nano + requests > 0),
  CHECK ((outcome = 'pending') = (decided_at IS NULL))
) STRICT;
CREATE UNIQUE INDEX raise_requests_pending ON raise_requests (budget_id) WHERE outcome = 'pending';
CREATE INDEX raise_requests_principal ON raise_requests (principal_id);

-- Keys of people who have left, until somebody decides, or the time is over.
CREATE TABLE leaver_reviews (
  id           TEXT PRIMARY KEY,
  key_id       TEXT NOT NULL REFERENCES api_keys ON DELETE RESTRICT,
  principal_id TEXT NOT NULL REFERENCES principals ON DELETE RESTRICT,
  cause        TEXT NOT NULL,
  opened_at    TEXT NOT NULL,
  due_at       TEXT NOT NULL, -- when the key is disabled
  outcome      TEXT NOT NULL DEFAULT 'open' CHECK (outcome IN ('open', 'transferred', 'kept', 'disabled', 'returned', 'ended')),
  closed_at    TEXT,
  closed_by    TEXT NOT NULL DEFAULT '',
  CHECK ((outcome = 'open') = (closed_at IS NULL))
) STRICT;
CREATE UNIQUE INDEX leaver_reviews_open ON leaver_reviews (key_id) WHERE outcome = 'open';

-- How far each destination has been sent the audit log, and which router sends.
CREATE TABLE audit_destinations (
  name         TEXT PRIMARY KEY CHECK (name <> ''),
  seq          INTEGER NOT NULL DEFAULT 0 CHECK (seq >= 0), -- the last that arrived
  claimed_by   TEXT NOT NULL DEFAULT '',
  claimed_till TEXT,
  due_at       TEXT, -- not before, after a failure
  failures     INTEGER NOT NULL DEFAULT 0,
  failure      TEXT NOT NULL DEFAULT '',
  sent_at      TEXT
) STRICT;
