-- Whether a key may have its responses kept, and the responses that are kept: encrypted,
-- until they expire. Their content is never in clear in the database.
ALTER TABLE api_keys ADD COLUMN keep_responses INTEGER NOT NULL DEFAULT 0 CHECK (keep_responses IN (0, 1));

CREATE TABLE stored_responses (
  id            TEXT PRIMARY KEY,
  key_id        TEXT NOT NULL,
  temporary_id  TEXT NOT NULL DEFAULT '',
  previous_id   TEXT NOT NULL DEFAULT '',
  sealed        BLOB NOT NULL,
  size          INTEGER NOT NULL CHECK (size > 0),
  created_at    TEXT NOT NULL,
  expires_at    TEXT NOT NULL
) STRICT;
CREATE INDEX stored_responses_of_key ON stored_responses (key_id, created_at, id);
CREATE INDEX stored_responses_expire ON stored_responses (expires_at);

-- How much is kept for each key. Triggers keep it, whoever removes what.
CREATE TABLE stored_response_totals (
  key_id        TEXT PRIMARY KEY,
  responses     INTEGER NOT NULL CHECK (responses >= 0),
  size          INTEGER NOT NULL CHECK (size >= 0)
) STRICT;
CREATE TRIGGER stored_responses_added AFTER INSERT ON stored_responses
BEGIN
  INSERT INTO stored_response_totals (key_id, responses, size) VALUES (NEW.key_id, 1, NEW.size)
  ON CONFLICT (key_id) DO UPDATE SET responses = responses + 1, size = size + excluded.size;
END;
CREATE TRIGGER stored_responses_removed AFTER DELETE ON stored_responses
BEGIN
  UPDATE stored_response_totals SET responses = responses - 1, size = size - OLD.size WHERE key_id = OLD.key_id;
END;
