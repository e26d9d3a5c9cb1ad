-- What keys may do beyond models and addresses: of a key, its project and its team, each
-- of which narrows the one above. NULL is no policy.

ALTER TABLE teams    ADD COLUMN policy TEXT CHECK (json_valid(policy));
ALTER TABLE projects ADD COLUMN policy TEXT CHECK (json_valid(policy));
ALTER TABLE api_keys ADD COLUMN policy TEXT CHECK (json_valid(policy));
