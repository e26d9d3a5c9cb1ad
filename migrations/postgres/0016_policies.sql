-- What keys may do beyond models and addresses: of a key, its project and its team, each
-- of which narrows the one above. NULL is no policy.
ALTER TABLE teams    ADD COLUMN policy jsonb;
ALTER TABLE projects ADD COLUMN policy jsonb;
ALTER TABLE api_keys ADD COLUMN policy jsonb;
