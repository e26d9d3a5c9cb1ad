-- Owners, keys, prices, the ledger, budgets and holds.
-- Money is bigint nano-USD (1 USD = 1e9); a price is nano-USD per million tokens.
-- What comes from outside has bounds, so that a mistake there cannot poison a sum.

CREATE TABLE teams (
  id          text PRIMARY KEY,
  name        text NOT NULL,
  cost_center text NOT NULL DEFAULT 'unallocated',
  owner_email text NOT NULL DEFAULT '',
  created_at  timestamptz NOT NULL DEFAULT now(),
  archived_at timestamptz
);
CREATE UNIQUE INDEX teams_name ON teams (name) WHERE archived_at IS NULL;

CREATE TABLE projects (
  id          text PRIMARY KEY,
  team_id     text NOT NULL REFERENCES teams ON DELETE RESTRICT,
  name        text NOT NULL,
  environment text NOT NULL DEFAULT 'prod' CHECK (environment IN ('prod', 'staging', 'dev')),
  created_at  timestamptz NOT NULL DEFAULT now(),
  archived_at timestamptz
);
CREATE UNIQUE INDEX projects_name ON projects (team_id, name) WHERE archived_at IS NULL;

CREATE TABLE api_keys (
  id                  text PRIMARY KEY,
  project_id          text NOT NULL REFERENCES projects ON DELETE RESTRICT,
  name                text NOT NULL,
  display             text NOT NULL,
  models              text[] NOT NULL DEFAULT '{}',
  allowed_cidrs       text[] NOT NULL DEFAULT '{}',
  requests_per_minute bigint NOT NULL DEFAULT 0 CHECK (requests_per_minute >= 0),
  tokens_per_minute   bigint NOT NULL DEFAULT 0 CHECK (tokens_per_minute >= 0),
  allow_unpriced      boolean NOT NULL DEFAULT false,
  tags                jsonb NOT NULL DEFAULT '{}',
  version             bigint NOT NULL DEFAULT 1,
  created_by          text NOT NULL DEFAULT '',
  created_at          timestamptz NOT NULL DEFAULT now(),
  expires_at          timestamptz,
  revoked_at          timestamptz,
  revoked_reason      text NOT NULL DEFAULT '',
  last_used_at        timestamptz
);
CREATE INDEX api_keys_project ON api_keys (project_id);

-- A rotation adds a row; the id of the key never changes.
CREATE TABLE api_key_secrets (
  key_id      text NOT NULL REFERENCES api_keys ON DELETE RESTRICT,
  version     int NOT NULL,
  secret_hash bytea NOT NULL UNIQUE CHECK (octet_length(secret_hash) = 32),
  created_at  timestamptz NOT NULL DEFAULT now(),
  valid_until timestamptz,
  PRIMARY KEY (key_id, version)
);

-- A price is in force until the next one begins, so prices cannot overlap.
CREATE TABLE prices (
  id               text PRIMARY KEY,
  provider         text NOT NULL,
  model            text NOT NULL,
  service_tier     text NOT NULL DEFAULT 'standard',
  min_input_tokens bigint NOT NULL DEFAULT 0 CHECK (min_input_tokens >= 0),
  currency         text NOT NULL DEFAULT 'USD',
  input_nano       bigint NOT NULL CHECK (input_nano BETWEEN 0 AND 1000000000000000000),
  cache_read_nano  bigint NOT NULL CHECK (cache_read_nano BETWEEN 0 AND 1000000000000000000),
  cache_write_nano bigint NOT NULL CHECK (cache_write_nano BETWEEN 0 AND 1000000000000000000),
  output_nano      bigint NOT NULL CHECK (output_nano BETWEEN 0 AND 1000000000000000000),
  request_fee_nano bigint NOT NULL DEFAULT 0 CHECK (request_fee_nano BETWEEN 0 AND 1000000000000000000),
  source           text NOT NULL CHECK (source IN ('catalog', 'contract', 'manual')),
  valid_from       timestamptz NOT NULL,
  created_at       timestamptz NOT NULL DEFAULT now(),
  UNIQUE (provider, model, service_tier, min_input_tokens, valid_from)
);

CREATE TABLE billing_periods (
  period        date PRIMARY KEY CHECK (extract(day FROM period) = 1),
  timezone      text NOT NULL,
  status        text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed')),
  closed_at     timestamptz,
  closed_by     text,
  ledger_nano   numeric,
  ledger_rows   bigint,
  ledger_sha256 text
);

-- One row per attempt at a provider, or per correction. Append-only.
-- Owner and price are copied, so that neither a move nor a new price changes the past.
CREATE TABLE spend_events (
  event_id               uuid NOT NULL,
  occurred_at            timestamptz NOT NULL,
  report_day             date NOT NULL,
  kind                   text NOT NULL DEFAULT 'usage' CHECK (kind IN ('usage', 'adjustment', 'credit', 'refund', 'fee')),
  request_id             text NOT NULL,
  attempt                smallint NOT NULL DEFAULT 1,
  final                  boolean NOT NULL DEFAULT true,
  key_id                 text NOT NULL,
  project_id             text NOT NULL,
  team_id                text NOT NULL,
  cost_center            text NOT NULL,
  environment            text NOT NULL,
  end_user               text,
  tags                   jsonb NOT NULL DEFAULT '{}',
  requested_model        text NOT NULL,
  provider               text NOT NULL,
  model                  text NOT NULL,
  service_tier           text NOT NULL DEFAULT 'standard',
  route_reason           text NOT NULL DEFAULT 'cheapest',
  status                 text NOT NULL DEFAULT 'ok'
                         CHECK (status IN ('ok', 'error', 'client_aborted', 'upstream_aborted', 'interrupted', 'disputed')),
  error_kind             text,
  streamed               boolean NOT NULL DEFAULT false,
  usage_source           text NOT NULL DEFAULT 'reported' CHECK (usage_source IN ('reported', 'counted', 'bounded')),
  input_tokens           bigint NOT NULL DEFAULT 0 CHECK (input_tokens BETWEEN -1000000000000000 AND 1000000000000000),
  cache_read_tokens      bigint NOT NULL DEFAULT 0 CHECK (cache_read_tokens BETWEEN -1000000000000000 AND 1000000000000000),
  cache_write_tokens     bigint NOT NULL DEFAULT 0 CHECK (cache_write_tokens BETWEEN -1000000000000000 AND 1000000000000000),
  output_tokens          bigint NOT NULL DEFAULT 0 CHECK (output_tokens BETWEEN -1000000000000000 AND 1000000000000000),
  reasoning_tokens       bigint NOT NULL DEFAULT 0 CHECK (reasoning_tokens BETWEEN -1000000000000000 AND 1000000000000000),
  overrun_tokens         bigint NOT NULL DEFAULT 0 CHECK (overrun_tokens BETWEEN 0 AND 1000000000000000),
  pricing                text NOT NULL CHECK (pricing IN ('priced', 'unpriced', 'free')),
  price_id               text,
  input_price_nano       bigint,
  cache_read_price_nano  bigint,
  cache_write_price_nano bigint,
  output_price_nano      bigint,
  input_cost_nano        bigint,
  cache_read_cost_nano   bigint,
  cache_write_cost_nano  bigint,
  output_cost_nano       bigint,
  fee_nano               bigint,
  cost_nano              bigint CHECK (cost_nano BETWEEN -1000000000000000000 AND 1000000000000000000),
  baseline_cost_nano     bigint CHECK (baseline_cost_nano BETWEEN -1000000000000000000 AND 1000000000000000000),
  provider_cost_nano     bigint CHECK (provider_cost_nano BETWEEN -1000000000000000000 AND 1000000000000000000),
  provider_request_id    text,
  adjusts_event          uuid,
  adjusts_period         date,
  reason                 text,
  actor                  text,
  recorded_at            timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (event_id, report_day),
  -- No price is not a price of zero.
  CONSTRAINT spend_unpriced CHECK ((pricing = 'unpriced') = (cost_nano IS NULL)),
  CONSTRAINT spend_meters CHECK (kind <> 'usage' OR pricing <> 'priced'
    OR cost_nano = input_cost_nano + cache_read_cost_nano + cache_write_cost_nano + output_cost_nano + fee_nano),
  CONSTRAINT spend_positive CHECK (kind <> 'usage'
    OR (least(input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens) >= 0 AND coalesce(cost_nano, 0) >= 0)),
  CONSTRAINT spend_reason CHECK (kind = 'usage' OR (reason IS NOT NULL AND actor IS NOT NULL))
) PARTITION BY RANGE (report_day);
CREATE UNIQUE INDEX spend_once ON spend_events (request_id, attempt, report_day) WHERE kind = 'usage';
CREATE INDEX spend_corrections ON spend_events (request_id) WHERE kind <> 'usage';
CREATE INDEX spend_by_key ON spend_events (key_id, occurred_at);
CREATE INDEX spend_by_time ON spend_events (occurred_at);
CREATE INDEX spend_by_day ON spend_events (report_day, team_id);

-- The daily sums of spend_events, posted by its trigger and by nothing else.
-- price_id is in the grain, so that quantity x unit price = cost on every row.
CREATE TABLE spend_daily (
  report_day            date NOT NULL,
  month                 text NOT NULL,
  team_id               text NOT NULL,
  project_id            text NOT NULL,
  key_id                text NOT NULL,
  cost_center           text NOT NULL,
  environment           text NOT NULL,
  provider              text NOT NULL,
  model                 text NOT NULL,
  kind                  text NOT NULL,
  pricing               text NOT NULL,
  usage_source          text NOT NULL,
  price_id              text NOT NULL DEFAULT '',
  requests              bigint NOT NULL,
  attempts              bigint NOT NULL,
  errors                bigint NOT NULL,
  input_tokens          bigint NOT NULL,
  cache_read_tokens     bigint NOT NULL,
  cache_write_tokens    bigint NOT NULL,
  output_tokens         bigint NOT NULL,
  overrun_tokens        bigint NOT NULL,
  input_cost_nano       bigint NOT NULL,
  cache_read_cost_nano  bigint NOT NULL,
  cache_write_cost_nano bigint NOT NULL,
  output_cost_nano      bigint NOT NULL,
  fee_nano              bigint NOT NULL,
  cost_nano             bigint NOT NULL,
  baseline_cost_nano    bigint NOT NULL,
  PRIMARY KEY (report_day, team_id, project_id, key_id, cost_center, environment,
               provider, model, kind, pricing, usage_source, price_id)
) WITH (fillfactor = 70);
CREATE INDEX spend_daily_month ON spend_daily (month, team_id);
CREATE INDEX spend_daily_key ON spend_daily (key_id, report_day);

CREATE TABLE budgets (
  id          text PRIMARY KEY,
  scope       text NOT NULL CHECK (scope IN ('key', 'project', 'team', 'org')),
  scope_id    text NOT NULL,
  period      text NOT NULL CHECK (period IN ('day', 'week', 'month', 'quarter', 'year', 'once')),
  zone        text NOT NULL DEFAULT '',
  amount_nano bigint CHECK (amount_nano BETWEEN 0 AND 1000000000000000000),
  token_limit bigint CHECK (token_limit BETWEEN 0 AND 1000000000000000),
  created_at  timestamptz NOT NULL DEFAULT now(),
  archived_at timestamptz,
  CHECK (amount_nano IS NOT NULL OR token_limit IS NOT NULL)
);
CREATE INDEX budgets_scope ON budgets (scope, scope_id);

-- What a budget has used and holds in one window. Used is a copy of the ledger,
-- held the sum of the open holds. A window without bounds, of a budget that is
-- spent once, runs from -infinity to infinity. When a budget gets another period
-- whose window begins at the same instant, the row is made to fit that window.
CREATE TABLE budget_counters (
  budget_id    text NOT NULL REFERENCES budgets ON DELETE RESTRICT,
  window_start timestamptz NOT NULL,
  window_end   timestamptz NOT NULL,
  used_tokens  bigint NOT NULL DEFAULT 0,
  held_tokens  bigint NOT NULL DEFAULT 0 CHECK (held_tokens >= 0),
  used_nano    bigint NOT NULL DEFAULT 0,
  held_nano    bigint NOT NULL DEFAULT 0 CHECK (held_nano >= 0),
  PRIMARY KEY (budget_id, window_start),
  CHECK (window_start < window_end)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX budget_counters_end ON budget_counters (budget_id, window_end);

-- What requests in flight have reserved. No foreign keys: they would lock the
-- row of a busy key once per request.
CREATE TABLE holds (
  id            text PRIMARY KEY,
  key_id        text NOT NULL,
  budget_ids    text[] NOT NULL,
  window_starts timestamptz[] NOT NULL,
  tokens        bigint NOT NULL CHECK (tokens BETWEEN 0 AND 1000000000000000),
  nano          bigint NOT NULL CHECK (nano BETWEEN 0 AND 1000000000000000),
  created_at    timestamptz NOT NULL,
  expires_at    timestamptz NOT NULL,
  if_lost       json NOT NULL,
  CHECK (cardinality(budget_ids) = cardinality(window_starts))
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX holds_expiry ON holds (expires_at);

CREATE TABLE settings (
  name       text PRIMARY KEY,
  value      text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
