-- Whether a key may have its responses kept, and the responses that are kept: encrypted,
-- until they expire. Their content is never in clear in the database.
ALTER TABLE api_keys ADD COLUMN keep_responses boolean NOT NULL DEFAULT false;

CREATE TABLE stored_responses (
  id            text PRIMARY KEY,
  key_id        text NOT NULL,
  temporary_id  text NOT NULL DEFAULT '',
  previous_id   text NOT NULL DEFAULT '',
  sealed        bytea NOT NULL,
  size          bigint NOT NULL CHECK (size > 0),
  created_at    timestamptz NOT NULL,
  expires_at    timestamptz NOT NULL
);
ALTER TABLE stored_responses ALTER COLUMN sealed SET STORAGE EXTERNAL;
CREATE INDEX stored_responses_of_key ON stored_responses (key_id, created_at, id);
CREATE INDEX stored_responses_expire ON stored_responses (expires_at);
COMMENT ON TABLE stored_responses IS 'Responses that are kept for their keys, encrypted, until they expire';

-- How much is kept for each key. Triggers keep it, whoever removes what.
CREATE TABLE stored_response_totals (
  key_id        text PRIMARY KEY,
  responses     bigint NOT NULL CHECK (responses >= 0),
  size          bigint NOT NULL CHECK (size >= 0)
) WITH (fillfactor = 50);
COMMENT ON TABLE stored_response_totals IS 'How many responses, of how many bytes, are kept for each key';

CREATE FUNCTION stored_responses_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO stored_response_totals AS t (key_id, responses, size)
    SELECT key_id, count(*), sum(size) FROM changed GROUP BY key_id ORDER BY key_id
    ON CONFLICT (key_id) DO UPDATE SET responses = t.responses + excluded.responses, size = t.size + excluded.size;
  ELSE
    PERFORM 1 FROM stored_response_totals WHERE key_id IN (SELECT key_id FROM changed) ORDER BY key_id FOR UPDATE;
    UPDATE stored_response_totals t SET responses = t.responses - c.responses, size = t.size - c.size
      FROM (SELECT key_id, count(*) AS responses, sum(size) AS size FROM changed GROUP BY key_id) c
     WHERE t.key_id = c.key_id;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER stored_responses_added AFTER INSERT ON stored_responses
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION stored_responses_count();
CREATE TRIGGER stored_responses_removed AFTER DELETE ON stored_responses
  REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION stored_responses_count();
