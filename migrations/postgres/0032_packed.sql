-- The rows of a day, packed by columns: reports by any two of them read only those that they
-- need. A breakdown holds as long as the day has as many rows as it had then.

DROP TABLE spend_breakdowns;
DROP TABLE breakdown_days;

CREATE TABLE spend_breakdowns (
  report_day date NOT NULL,
  part       integer NOT NULL, -- of at most 32,768 lines
  name       text NOT NULL,    -- of the column
  data       bytea NOT NULL,
  PRIMARY KEY (report_day, part, name)
);
-- Numbers packed to bytes are hardly made smaller by compression.
ALTER TABLE spend_breakdowns ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE breakdown_days (
  report_day  date PRIMARY KEY,
  ledger_rows bigint NOT NULL, -- that the day had
  made_at     timestamptz NOT NULL
);
