-- Rows of the ledger by request: usage and corrections together.
CREATE INDEX spend_events_request ON spend_events (request_id);
DROP INDEX spend_events_corrections;
