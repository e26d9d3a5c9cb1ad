-- What temporary keys may use of the budgets of the key that they were made with. They
-- end within an hour and are removed then. These are no books: a request is booked on
-- its key like any other.
CREATE TABLE allotments (
  id            text PRIMARY KEY,
  key_id        text NOT NULL,
  token_limit   bigint CHECK (token_limit BETWEEN 0 AND 1000000000000000),
  amount_nano   bigint CHECK (amount_nano BETWEEN 0 AND 1000000000000000000),
  used_tokens   bigint NOT NULL DEFAULT 0,
  used_nano     bigint NOT NULL DEFAULT 0,
  ends_at       timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX allotments_end ON allotments (ends_at);
COMMENT ON TABLE allotments IS 'What temporary keys may use of the budgets of their key, until they end';
