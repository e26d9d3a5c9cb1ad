-- The rows of a day, packed by columns: reports by any two of them read only those that they
-- need. A breakdown holds as long as the day has as many rows as it had then.

DROP TABLE spend_breakdowns;
DROP TABLE breakdown_days;

CREATE TABLE spend_breakdowns (
  report_day TEXT NOT NULL,
  part       INTEGER NOT NULL, -- of at most 32,768 lines
  name       TEXT NOT NULL,    -- of the column
  data       BLOB NOT NULL,
  PRIMARY KEY (report_day, part, name)
) STRICT;

CREATE TABLE breakdown_days (
  report_day  TEXT PRIMARY KEY,
  ledger_rows INTEGER NOT NULL, -- that the day had
  made_at     TEXT NOT NULL
) STRICT, WITHOUT ROWID;
