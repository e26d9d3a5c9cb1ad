-- Requests of administrators that may be sent again: the transaction of their change marks
-- them as done, with what was changed, before there is an answer to keep.
CREATE TABLE idempotency_new (
  key_id      TEXT NOT NULL,
  name        BLOB NOT NULL CHECK (length(name) = 32),
  fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32), -- of the body
  request_id  TEXT NOT NULL,
  state       TEXT NOT NULL CHECK (state IN ('running', 'done', 'kept', 'too_large')),
  answer      BLOB,
  expires_at  TEXT NOT NULL,
  object      TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (key_id, name),
  CHECK ((state = 'kept') = (answer IS NOT NULL))
) STRICT;
INSERT INTO idempotency_new (key_id, name, fingerprint, request_id, state, answer, expires_at)
SELECT key_id, name, fingerprint, request_id, state, answer, expires_at FROM idempotency;
DROP TABLE idempotency;
ALTER TABLE idempotency_new RENAME TO idempotency;
CREATE INDEX idempotency_expiry ON idempotency (expires_at);
