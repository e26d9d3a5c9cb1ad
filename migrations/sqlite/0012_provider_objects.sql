-- Whether requests of a key may name what is stored at providers, where all keys
-- share one account.
ALTER TABLE api_keys ADD COLUMN allow_provider_objects INTEGER NOT NULL DEFAULT 0 CHECK (allow_provider_objects IN (0, 1));
