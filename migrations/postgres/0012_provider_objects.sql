-- Whether requests of a key may name what is stored at providers, where all keys
-- share one account.
ALTER TABLE api_keys ADD COLUMN allow_provider_objects boolean NOT NULL DEFAULT false;
