-- What temporary keys may use of the budgets of the key that they were made with. They
-- end within an hour and are removed then. These are no books: a request is booked on
-- its key like any other.
CREATE TABLE allotments (
  id            TEXT PRIMARY KEY,
  key_id        TEXT NOT NULL,
  token_limit   INTEGER CHECK (token_limit BETWEEN 0 AND 1000000000000000),
  amount_nano   INTEGER CHECK (amount_nano BETWEEN 0 AND 1000000000000000000),
  used_tokens   INTEGER NOT NULL DEFAULT 0,
  used_nano     INTEGER NOT NULL DEFAULT 0,
  ends_at       TEXT NOT NULL
) STRICT;
CREATE INDEX allotments_end ON allotments (ends_at);
