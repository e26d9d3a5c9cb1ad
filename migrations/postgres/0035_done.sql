-- Requests of administrators that may be sent again: the transaction of their change marks
-- them as done, with what was changed, before there is an answer to keep.
ALTER TABLE idempotency
  DROP CONSTRAINT idempotency_state_check,
  ADD CONSTRAINT idempotency_state_check CHECK (state IN ('running', 'done', 'kept', 'too_large')),
  ADD COLUMN object text NOT NULL DEFAULT '';
