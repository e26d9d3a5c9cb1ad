-- Owners, keys, prices, the ledger, budgets and holds: the tables and columns
-- of ../postgres. Money is INTEGER nano-USD (1 USD = 1e9); a price is nano-USD
-- per million tokens. Instants are TEXT, RFC 3339 in UTC with nine decimals, so
-- that they compare as text; days are YYYY-MM-DD; lists and maps are JSON.
-- Every number has bounds, so that a mistake upstream cannot poison a sum.

CREATE TABLE teams (
  id          TEXT PRIMARY KEY,
  name        TEXT NOT NULL,
  cost_center TEXT NOT NULL DEFAULT 'unallocated',
  owner_email TEXT NOT NULL DEFAULT '',
  created_at  TEXT NOT NULL,
  archived_at TEXT
) STRICT;
CREATE UNIQUE INDEX teams_name ON teams (name) WHERE archived_at IS NULL;

CREATE TABLE projects (
  id          TEXT PRIMARY KEY,
  team_id     TEXT NOT NULL REFERENCES teams ON DELETE RESTRICT,
  name        TEXT NOT NULL,
  environment TEXT NOT NULL DEFAULT 'prod' CHECK (environment IN ('prod', 'staging', 'dev')),
  created_at  TEXT NOT NULL,
  archived_at TEXT
) STRICT;
CREATE UNIQUE INDEX projects_name ON projects (team_id, name) WHERE archived_at IS NULL;

CREATE TABLE api_keys (
  id                  TEXT PRIMARY KEY,
  project_id          TEXT NOT NULL REFERENCES projects ON DELETE RESTRICT,
  name                TEXT NOT NULL,
  display             TEXT NOT NULL,
  models              TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(models)),
  allowed_cidrs       TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(allowed_cidrs)),
  requests_per_minute INTEGER NOT NULL DEFAULT 0 CHECK (requests_per_minute >= 0),
  tokens_per_minute   INTEGER NOT NULL DEFAULT 0 CHECK (tokens_per_minute >= 0),
  allow_unpriced      INTEGER NOT NULL DEFAULT 0 CHECK (allow_unpriced IN (0, 1)),
  tags                TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(tags)),
  version             INTEGER NOT NULL DEFAULT 1,
  created_by          TEXT NOT NULL DEFAULT '',
  created_at          TEXT NOT NULL,
  expires_at          TEXT,
  revoked_at          TEXT,
  revoked_reason      TEXT NOT NULL DEFAULT '',
  last_used_at        TEXT
) STRICT;
CREATE INDEX api_keys_project ON api_keys (project_id);

-- A rotation adds a row; the id of the key never changes.
CREATE TABLE api_key_secrets (
  key_id      TEXT NOT NULL REFERENCES api_keys ON DELETE RESTRICT,
  version     INTEGER NOT NULL,
  secret_hash BLOB NOT NULL UNIQUE CHECK (length(secret_hash) = 32),
  created_at  TEXT NOT NULL,
  valid_until TEXT,
  PRIMARY KEY (key_id, version)
) STRICT;

-- A price is in force until the next one begins, so prices cannot overlap.
CREATE TABLE prices (
  id               TEXT PRIMARY KEY,
  provider         TEXT NOT NULL,
  model            TEXT NOT NULL,
  service_tier     TEXT NOT NULL DEFAULT 'standard',
  min_input_tokens INTEGER NOT NULL DEFAULT 0 CHECK (min_input_tokens >= 0),
  currency         TEXT NOT NULL DEFAULT 'USD',
  input_nano       INTEGER NOT NULL CHECK (input_nano BETWEEN 0 AND 1000000000000000000),
  cache_read_nano  INTEGER NOT NULL CHECK (cache_read_nano BETWEEN 0 AND 1000000000000000000),
  cache_write_nano INTEGER NOT NULL CHECK (cache_write_nano BETWEEN 0 AND 1000000000000000000),
  output_nano      INTEGER NOT NULL CHECK (output_nano BETWEEN 0 AND 1000000000000000000),
  request_fee_nano INTEGER NOT NULL DEFAULT 0 CHECK (request_fee_nano BETWEEN 0 AND 1000000000000000000),
  source           TEXT NOT NULL CHECK (source IN ('catalog', 'contract', 'manual')),
  valid_from       TEXT NOT NULL,
  created_at       TEXT NOT NULL,
  UNIQUE (provider, model, service_tier, min_input_tokens, valid_from)
) STRICT;

CREATE TABLE billing_periods (
  period        TEXT PRIMARY KEY CHECK (period GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-01'),
  timezone      TEXT NOT NULL,
  status        TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed')),
  closed_at     TEXT,
  closed_by     TEXT,
  ledger_nano   INTEGER,
  ledger_rows   INTEGER,
  ledger_sha256 TEXT
) STRICT;

-- One row per attempt at a provider, or per correction. Append-only.
-- Owner and price are copied, so that neither a move nor a new price changes the past.
CREATE TABLE spend_events (
  event_id               TEXT PRIMARY KEY,
  occurred_at            TEXT NOT NULL,
  report_day             TEXT NOT NULL CHECK (report_day GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'),
  kind                   TEXT NOT NULL DEFAULT 'usage' CHECK (kind IN ('usage', 'adjustment', 'credit', 'refund', 'fee')),
  request_id             TEXT NOT NULL,
  attempt                INTEGER NOT NULL DEFAULT 1,
  final                  INTEGER NOT NULL DEFAULT 1 CHECK (final IN (0, 1)),
  key_id                 TEXT NOT NULL,
  project_id             TEXT NOT NULL,
  team_id                TEXT NOT NULL,
  cost_center            TEXT NOT NULL,
  environment            TEXT NOT NULL,
  end_user               TEXT,
  tags                   TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(tags)),
  requested_model        TEXT NOT NULL,
  provider               TEXT NOT NULL,
  model                  TEXT NOT NULL,
  service_tier           TEXT NOT NULL DEFAULT 'standard',
  route_reason           TEXT NOT NULL DEFAULT 'cheapest',
  status                 TEXT NOT NULL DEFAULT 'ok'
                         CHECK (status IN ('ok', 'error', 'client_aborted', 'upstream_aborted', 'interrupted', 'disputed')),
  error_kind             TEXT,
  streamed               INTEGER NOT NULL DEFAULT 0 CHECK (streamed IN (0, 1)),
  usage_source           TEXT NOT NULL DEFAULT 'reported' CHECK (usage_source IN ('reported', 'counted', 'bounded')),
  input_tokens           INTEGER NOT NULL DEFAULT 0 CHECK (input_tokens BETWEEN -1000000000000000 AND 1000000000000000),
  cache_read_tokens      INTEGER NOT NULL DEFAULT 0 CHECK (cache_read_tokens BETWEEN -1000000000000000 AND 1000000000000000),
  cache_write_tokens     INTEGER NOT NULL DEFAULT 0 CHECK (cache_write_tokens BETWEEN -1000000000000000 AND 1000000000000000),
  output_tokens          INTEGER NOT NULL DEFAULT 0 CHECK (output_tokens BETWEEN -1000000000000000 AND 1000000000000000),
  reasoning_tokens       INTEGER NOT NULL DEFAULT 0 CHECK (reasoning_tokens BETWEEN -1000000000000000 AND 1000000000000000),
  overrun_tokens         INTEGER NOT NULL DEFAULT 0 CHECK (overrun_tokens BETWEEN 0 AND 1000000000000000),
  pricing                TEXT NOT NULL CHECK (pricing IN ('priced', 'unpriced', 'free')),
  price_id               TEXT,
  input_price_nano       INTEGER,
  cache_read_price_nano  INTEGER,
  cache_write_price_nano INTEGER,
  output_price_nano      INTEGER,
  input_cost_nano        INTEGER,
  cache_read_cost_nano   INTEGER,
  cache_write_cost_nano  INTEGER,
  output_cost_nano       INTEGER,
  fee_nano               INTEGER,
  cost_nano              INTEGER CHECK (cost_nano BETWEEN -1000000000000000000 AND 1000000000000000000),
  baseline_cost_nano     INTEGER CHECK (baseline_cost_nano BETWEEN -1000000000000000000 AND 1000000000000000000),
  provider_cost_nano     INTEGER CHECK (provider_cost_nano BETWEEN -1000000000000000000 AND 1000000000000000000),
  provider_request_id    TEXT,
  adjusts_event          TEXT,
  adjusts_period         TEXT,
  reason                 TEXT,
  actor                  TEXT,
  recorded_at            TEXT NOT NULL,
  -- No price is not a price of zero.
  CONSTRAINT spend_unpriced CHECK ((pricing = 'unpriced') = (cost_nano IS NULL)),
  CONSTRAINT spend_meters CHECK (kind <> 'usage' OR pricing <> 'priced'
    OR cost_nano = input_cost_nano + cache_read_cost_nano + cache_write_cost_nano + output_cost_nano + fee_nano),
  CONSTRAINT spend_positive CHECK (kind <> 'usage'
    OR (min(input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens) >= 0 AND coalesce(cost_nano, 0) >= 0)),
  CONSTRAINT spend_reason CHECK (kind = 'usage' OR (reason IS NOT NULL AND actor IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX spend_events_once ON spend_events (request_id, attempt) WHERE kind = 'usage';
CREATE INDEX spend_events_corrections ON spend_events (request_id) WHERE kind <> 'usage';
CREATE INDEX spend_events_key ON spend_events (key_id, occurred_at);
CREATE INDEX spend_events_time ON spend_events (occurred_at);
CREATE INDEX spend_events_day ON spend_events (report_day, team_id);

-- The daily sums of spend_events, posted by its trigger and by nothing else.
-- price_id is in the grain, so that quantity x unit price = cost on every row.
CREATE TABLE spend_daily (
  report_day            TEXT NOT NULL,
  month                 TEXT NOT NULL,
  team_id               TEXT NOT NULL,
  project_id            TEXT NOT NULL,
  key_id                TEXT NOT NULL,
  cost_center           TEXT NOT NULL,
  environment           TEXT NOT NULL,
  provider              TEXT NOT NULL,
  model                 TEXT NOT NULL,
  kind                  TEXT NOT NULL,
  pricing               TEXT NOT NULL,
  usage_source          TEXT NOT NULL,
  price_id              TEXT NOT NULL DEFAULT '',
  requests              INTEGER NOT NULL,
  attempts              INTEGER NOT NULL,
  errors                INTEGER NOT NULL,
  input_tokens          INTEGER NOT NULL,
  cache_read_tokens     INTEGER NOT NULL,
  cache_write_tokens    INTEGER NOT NULL,
  output_tokens         INTEGER NOT NULL,
  overrun_tokens        INTEGER NOT NULL,
  input_cost_nano       INTEGER NOT NULL,
  cache_read_cost_nano  INTEGER NOT NULL,
  cache_write_cost_nano INTEGER NOT NULL,
  output_cost_nano      INTEGER NOT NULL,
  fee_nano              INTEGER NOT NULL,
  cost_nano             INTEGER NOT NULL,
  baseline_cost_nano    INTEGER NOT NULL,
  PRIMARY KEY (report_day, team_id, project_id, key_id, cost_center, environment,
               provider, model, kind, pricing, usage_source, price_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX spend_daily_month ON spend_daily (month, team_id);
CREATE INDEX spend_daily_key ON spend_daily (key_id, report_day);

CREATE TABLE budgets (
  id          TEXT PRIMARY KEY,
  scope       TEXT NOT NULL CHECK (scope IN ('key', 'project', 'team', 'org')),
  scope_id    TEXT NOT NULL,
  period      TEXT NOT NULL CHECK (period IN ('day', 'week', 'month', 'quarter', 'year', 'once')),
  zone        TEXT NOT NULL DEFAULT '',
  amount_nano INTEGER CHECK (amount_nano BETWEEN 0 AND 1000000000000000000),
  token_limit INTEGER CHECK (token_limit BETWEEN 0 AND 1000000000000000),
  created_at  TEXT NOT NULL,
  archived_at TEXT,
  CHECK (amount_nano IS NOT NULL OR token_limit IS NOT NULL)
) STRICT;
CREATE INDEX budgets_scope ON budgets (scope, scope_id);

-- What a budget has used and holds in one window. Used is a copy of the ledger,
-- held the sum of the open holds. A window without bounds, of a budget that is
-- spent once, runs from the year 1 to the end of the year 9999.
CREATE TABLE budget_counters (
  budget_id    TEXT NOT NULL REFERENCES budgets ON DELETE RESTRICT,
  window_start TEXT NOT NULL,
  window_end   TEXT NOT NULL,
  used_tokens  INTEGER NOT NULL DEFAULT 0 CHECK (used_tokens BETWEEN -1000000000000000 AND 1000000000000000),
  held_tokens  INTEGER NOT NULL DEFAULT 0 CHECK (held_tokens BETWEEN 0 AND 1000000000000000),
  used_nano    INTEGER NOT NULL DEFAULT 0 CHECK (used_nano BETWEEN -1000000000000000000 AND 1000000000000000000),
  held_nano    INTEGER NOT NULL DEFAULT 0 CHECK (held_nano BETWEEN 0 AND 1000000000000000000),
  PRIMARY KEY (budget_id, window_start),
  CHECK (window_start < window_end)
) STRICT, WITHOUT ROWID;
CREATE INDEX budget_counters_end ON budget_counters (budget_id, window_end);

-- What requests in flight have reserved.
CREATE TABLE holds (
  id            TEXT PRIMARY KEY,
  key_id        TEXT NOT NULL,
  budget_ids    TEXT NOT NULL CHECK (json_valid(budget_ids)),
  window_starts TEXT NOT NULL CHECK (json_valid(window_starts)),
  tokens        INTEGER NOT NULL CHECK (tokens BETWEEN 0 AND 1000000000000000),
  nano          INTEGER NOT NULL CHECK (nano BETWEEN 0 AND 1000000000000000000),
  created_at    TEXT NOT NULL,
  expires_at    TEXT NOT NULL,
  if_lost       TEXT NOT NULL CHECK (json_valid(if_lost)),
  CHECK (json_array_length(budget_ids) = json_array_length(window_starts))
) STRICT;
CREATE INDEX holds_expiry ON holds (expires_at);

CREATE TABLE settings (
  name       TEXT PRIMARY KEY,
  value      TEXT NOT NULL,
  created_at TEXT NOT NULL
) STRICT;
