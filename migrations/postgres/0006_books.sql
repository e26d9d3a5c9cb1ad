-- Months that are closed, reopened and archived, and what the audit found.

ALTER TABLE billing_periods
  ADD COLUMN ledger_unpriced bigint, -- attempts that had no price when the month was closed
  ADD COLUMN archived_at     timestamptz,
  ADD COLUMN archived_by     text,
  ADD COLUMN rollup_sha256   text,   -- of the month's rows of spend_daily, once it is their only copy
  ADD CONSTRAINT billing_periods_archived CHECK (archived_at IS NULL OR status = 'closed');

-- Who closed, reopened and archived a month, and why.
CREATE TABLE period_changes (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  period          date NOT NULL,
  action          text NOT NULL CHECK (action IN ('close', 'reopen', 'archive')),
  changed_at      timestamptz NOT NULL,
  actor           text NOT NULL CHECK (actor <> ''),
  reason          text NOT NULL DEFAULT '' CHECK (reason <> '' OR action <> 'reopen'),
  ledger_nano     numeric,
  ledger_rows     bigint,
  ledger_unpriced bigint,
  ledger_sha256   text
);

CREATE FUNCTION period_changes_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'period_changes is append-only' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER period_changes_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON period_changes
  FOR EACH STATEMENT EXECUTE FUNCTION period_changes_append_only();

-- What is left of archived rows: enough to say what any window of a budget has
-- used. Windows begin on a quarter of an hour in every zone.
CREATE TABLE spend_archived (
  report_day date NOT NULL,
  slot       timestamptz NOT NULL, -- the quarter of an hour that the rows occurred in
  moved      boolean NOT NULL,     -- reported on another day than they occurred on
  key_id     text NOT NULL,
  project_id text NOT NULL,
  team_id    text NOT NULL,
  events     bigint NOT NULL,
  tokens     bigint NOT NULL,
  nano       bigint NOT NULL,
  PRIMARY KEY (key_id, slot, report_day, moved, project_id, team_id)
);
CREATE INDEX spend_archived_slot ON spend_archived (slot);
CREATE INDEX spend_archived_day ON spend_archived (report_day);

-- What was used and when, whether the row is still there or was archived.
CREATE VIEW spend_moments AS
SELECT report_day, occurred_at, adjusts_period IS NOT NULL AS moved, key_id, project_id, team_id,
       input_tokens + cache_read_tokens + cache_write_tokens + output_tokens AS tokens, cost_nano AS nano
  FROM spend_events
UNION ALL
SELECT report_day, slot, moved, key_id, project_id, team_id, tokens, nano FROM spend_archived;

CREATE INDEX spend_moved ON spend_events (occurred_at) WHERE adjusts_period IS NOT NULL;
CREATE INDEX spend_moved_day ON spend_events (report_day) WHERE adjusts_period IS NOT NULL;
CREATE INDEX spend_adjusts ON spend_events (adjusts_event) WHERE adjusts_event IS NOT NULL;
CREATE INDEX spend_unpriced_day ON spend_events (report_day) WHERE pricing = 'unpriced';

-- The day that a row of a day is booked on: itself while its month is open,
-- else the first day of the next month that is.
CREATE FUNCTION spend_open_day(day date) RETURNS date LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
  open_day date := day;
BEGIN
  WHILE EXISTS (SELECT FROM billing_periods p
                 WHERE p.period = date_trunc('month', open_day::timestamp)::date AND p.status = 'closed') LOOP
    open_day := (date_trunc('month', open_day::timestamp) + interval '1 month')::date;
  END LOOP;
  RETURN open_day;
END $$;

CREATE TABLE audits (
  id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ran_at   timestamptz NOT NULL,
  took_ms  bigint NOT NULL,
  breaches bigint NOT NULL CHECK (breaches >= 0),
  first    text NOT NULL DEFAULT '' -- the first breach, in words
);

-- What has no price until today: an adjustment may have given it one. Of months
-- that are archived, what was accepted without a price.
CREATE OR REPLACE VIEW finance.unpriced_usage AS
SELECT provider, model, min(day) AS first_day, max(day) AS last_day,
       sum(requests)::bigint AS requests, sum(tokens)::bigint AS tokens, sum(cost_nano)::bigint AS cost_nano
  FROM (
    SELECT e.provider, e.model, e.report_day AS day, e.final::int::bigint AS requests,
           e.input_tokens + e.cache_read_tokens + e.cache_write_tokens + e.output_tokens AS tokens, 0::bigint AS cost_nano
      FROM spend_events e
     WHERE e.pricing = 'unpriced' AND e.kind = 'usage'
       AND NOT EXISTS (SELECT FROM spend_events a WHERE a.adjusts_event = e.event_id AND a.kind = 'adjustment' AND a.pricing = 'priced')
    UNION ALL
    SELECT d.provider, d.model, d.report_day, d.requests,
           d.input_tokens + d.cache_read_tokens + d.cache_write_tokens + d.output_tokens, d.cost_nano
      FROM spend_daily d
      JOIN billing_periods p ON p.period = date_trunc('month', d.report_day::timestamp)::date AND p.archived_at IS NOT NULL AND p.ledger_unpriced > 0
     WHERE d.pricing = 'unpriced'
  ) AS part
 GROUP BY provider, model;
