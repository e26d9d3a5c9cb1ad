-- Lists of keys by what is rare about them, however many keys there are.
DROP INDEX api_keys_project;
CREATE INDEX api_keys_project ON api_keys (project_id, id);
DROP INDEX api_keys_expiring; -- the same as api_keys_expiry
CREATE INDEX api_keys_revoked ON api_keys (id) WHERE revoked_at IS NOT NULL;
CREATE INDEX api_keys_disabled ON api_keys (id) WHERE disabled_at IS NOT NULL;
CREATE INDEX api_keys_stopped ON api_keys (id) WHERE stopped_at IS NOT NULL;
CREATE INDEX api_keys_address ON api_keys (lower(owner)) WHERE owner <> '';
