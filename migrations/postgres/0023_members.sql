-- What members of teams make for themselves, what they ask for, what becomes of their
-- keys once they have left; grants with conditions; and who is sent the audit log.

ALTER TABLE grants ADD COLUMN must text NOT NULL DEFAULT ''; -- a condition; '' is none

ALTER TABLE api_keys ADD COLUMN owner_id text REFERENCES principals ON DELETE RESTRICT; -- whose key it is
CREATE INDEX api_keys_owner ON api_keys (owner_id) WHERE owner_id IS NOT NULL;

-- How much the members of a team may make for themselves. Amounts are of all keys of one
-- member together.
CREATE TABLE team_ceilings (
  team_id       text PRIMARY KEY REFERENCES teams ON DELETE RESTRICT,
  keys          bigint NOT NULL CHECK (keys BETWEEN 1 AND 1000), -- in force, of one member
  period        text NOT NULL CHECK (period IN ('minute', 'day', 'week', 'month', 'quarter', 'year', 'once')),
  zone          text NOT NULL DEFAULT '',
  amount_nano   bigint CHECK (amount_nano BETWEEN 0 AND 1000000000000000000),
  token_limit   bigint CHECK (token_limit BETWEEN 0 AND 1000000000000000),
  request_limit bigint CHECK (request_limit BETWEEN 0 AND 1000000000000000),
  life_s        bigint NOT NULL DEFAULT 0 CHECK (life_s >= 0), -- 0: no bound
  models        text NOT NULL DEFAULT '[]', -- as JSON; [] is all
  updated_at    timestamptz NOT NULL,
  updated_by    text NOT NULL
);

-- What members ask for: that the limits of a budget be higher for a time.
CREATE TABLE raise_requests (
  id           text PRIMARY KEY,
  budget_id    text NOT NULL REFERENCES budgets ON DELETE RESTRICT,
  key_id       text NOT NULL REFERENCES api_keys ON DELETE RESTRICT,
  principal_id text NOT NULL REFERENCES principals ON DELETE RESTRICT,
  tokens       bigint NOT NULL DEFAULT 0 CHECK (tokens BETWEEN 0 AND 1000000000000000),
  nano         bigint NOT NULL DEFAULT 0 CHECK (nano BETWEEN 0 AND 1000000000000000000),
  requests     bigint NOT NULL DEFAULT 0 CHECK (requests BETWEEN 0 AND 1000000000000000),
  ends_at      timestamptz NOT NULL,
  reason       text NOT NULL CHECK (reason <> ''),
  asked_at     timestamptz NOT NULL,
  outcome      text NOT NULL DEFAULT 'pending' CHECK (outcome IN ('pending', 'approved', 'declined')),
  decided_at   timestamptz,
  decided_by   text NOT NULL DEFAULT '',
  answer       text NOT NULL DEFAULT '',
  CHECK (tokens + nano + requests > 0),
  CHECK ((outcome = 'pending') = (decided_at IS NULL))
);
CREATE UNIQUE INDEX raise_requests_pending ON raise_requests (budget_id) WHERE outcome = 'pending';
CREATE INDEX raise_requests_principal ON raise_requests (principal_id);

-- Keys of people who have left, until somebody decides, or the time is over.
CREATE TABLE leaver_reviews (
  id           text PRIMARY KEY,
  key_id       text NOT NULL REFERENCES api_keys ON DELETE RESTRICT,
  principal_id text NOT NULL REFERENCES principals ON DELETE RESTRICT,
  cause        text NOT NULL,
  opened_at    timestamptz NOT NULL,
  due_at       timestamptz NOT NULL, -- when the key is disabled
  outcome      text NOT NULL DEFAULT 'open' CHECK (outcome IN ('open', 'transferred', 'kept', 'disabled', 'returned', 'ended')),
  closed_at    timestamptz,
  closed_by    text NOT NULL DEFAULT '',
  CHECK ((outcome = 'open') = (closed_at IS NULL))
);
CREATE UNIQUE INDEX leaver_reviews_open ON leaver_reviews (key_id) WHERE outcome = 'open';

-- How far each destination has been sent the audit log, and which router sends.
CREATE TABLE audit_destinations (
  name         text PRIMARY KEY CHECK (name <> ''),
  seq          bigint NOT NULL DEFAULT 0 CHECK (seq >= 0), -- the last that arrived
  claimed_by   text NOT NULL DEFAULT '',
  claimed_till timestamptz,
  due_at       timestamptz, -- not before, after a failure
  failures     bigint NOT NULL DEFAULT 0,
  failure      text NOT NULL DEFAULT '',
  sent_at      timestamptz
);
