-- Temporary keys that were made of a key before this are dead: it was in wrong hands.
ALTER TABLE api_keys ADD COLUMN tokens_from timestamptz;
