-- Months that are closed, reopened and archived, and what the audit found.

ALTER TABLE billing_periods ADD COLUMN ledger_unpriced INTEGER; -- attempts that had no price when the month was closed
ALTER TABLE billing_periods ADD COLUMN archived_at TEXT CHECK (archived_at IS NULL OR status = 'closed');
ALTER TABLE billing_periods ADD COLUMN archived_by TEXT;
ALTER TABLE billing_periods ADD COLUMN rollup_sha256 TEXT; -- of the month's rows of spend_daily, once it is their only copy

-- Who closed, reopened and archived a month, and why.
CREATE TABLE period_changes (
  id              INTEGER PRIMARY KEY,
  period          TEXT NOT NULL,
  action          TEXT NOT NULL CHECK (action IN ('close', 'reopen', 'archive')),
  changed_at      TEXT NOT NULL,
  actor           TEXT NOT NULL CHECK (actor <> ''),
  reason          TEXT NOT NULL DEFAULT '' CHECK (reason <> '' OR action <> 'reopen'),
  ledger_nano     INTEGER,
  ledger_rows     INTEGER,
  ledger_unpriced INTEGER,
  ledger_sha256   TEXT
) STRICT;

CREATE TRIGGER period_changes_no_update BEFORE UPDATE ON period_changes
BEGIN
  SELECT RAISE(ABORT, 'period_changes is append-only');
END;

CREATE TRIGGER period_changes_no_delete BEFORE DELETE ON period_changes
BEGIN
  SELECT RAISE(ABORT, 'period_changes is append-only');
END;

-- What is left of archived rows: enough to say what any window of a budget has
-- used. Windows begin on a quarter of an hour in every zone.
CREATE TABLE spend_archived (
  report_day TEXT NOT NULL,
  slot       TEXT NOT NULL,    -- the quarter of an hour that the rows occurred in
  moved      INTEGER NOT NULL, -- reported on another day than they occurred on
  key_id     TEXT NOT NULL,
  project_id TEXT NOT NULL,
  team_id    TEXT NOT NULL,
  events     INTEGER NOT NULL,
  tokens     INTEGER NOT NULL,
  nano       INTEGER NOT NULL,
  PRIMARY KEY (key_id, slot, report_day, moved, project_id, team_id)
) STRICT, WITHOUT ROWID;
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
CREATE INDEX spend_adjusts ON spend_events (adjusts_event) WHERE adjusts_event IS NOT NULL;
CREATE INDEX spend_unpriced_day ON spend_events (report_day) WHERE pricing = 'unpriced';

-- Rows leave the ledger only with their whole month, and only once that is
-- archived.
DROP TRIGGER spend_no_delete;
CREATE TRIGGER spend_no_delete BEFORE DELETE ON spend_events
WHEN NOT EXISTS (SELECT 1 FROM billing_periods WHERE period = substr(OLD.report_day, 1, 7) || '-01' AND archived_at IS NOT NULL)
BEGIN
  SELECT RAISE(ABORT, 'spend_events is append-only: post an adjustment instead');
END;

CREATE TABLE audits (
  id       INTEGER PRIMARY KEY,
  ran_at   TEXT NOT NULL,
  took_ms  INTEGER NOT NULL,
  breaches INTEGER NOT NULL CHECK (breaches >= 0),
  first    TEXT NOT NULL DEFAULT '' -- the first breach, in words
) STRICT;

-- What has no price until today: an adjustment may have given it one. Of months
-- that are archived, what was accepted without a price.
DROP VIEW unpriced_usage;
CREATE VIEW unpriced_usage AS
SELECT provider, model, min(day) AS first_day, max(day) AS last_day,
       sum(requests) AS requests, sum(tokens) AS tokens, sum(cost_nano) AS cost_nano
  FROM (
    SELECT e.provider, e.model, e.report_day AS day, e.final AS requests,
           e.input_tokens + e.cache_read_tokens + e.cache_write_tokens + e.output_tokens AS tokens, 0 AS cost_nano
      FROM spend_events e
     WHERE e.pricing = 'unpriced' AND e.kind = 'usage'
       AND NOT EXISTS (SELECT 1 FROM spend_events a WHERE a.adjusts_event = e.event_id AND a.kind = 'adjustment' AND a.pricing = 'priced')
    UNION ALL
    SELECT d.provider, d.model, d.report_day, d.requests,
           d.input_tokens + d.cache_read_tokens + d.cache_write_tokens + d.output_tokens, d.cost_nano
      FROM spend_daily d
      JOIN billing_periods p ON p.period = d.month || '-01' AND p.archived_at IS NOT NULL AND p.ledger_unpriced > 0
     WHERE d.pricing = 'unpriced'
  ) AS part
 GROUP BY provider, model;
