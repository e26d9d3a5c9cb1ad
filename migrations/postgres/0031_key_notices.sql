-- Routers are told what became of a key, so that they refuse it without asking: the
-- state is revoked, disabled, stopped or usable.
CREATE OR REPLACE FUNCTION api_keys_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('tallyroute_keys',
    NEW.id || ' ' || NEW.version || ' ' || (extract(epoch FROM clock_timestamp()) * 1000)::bigint || ' ' ||
    CASE WHEN NEW.revoked_at IS NOT NULL THEN 'revoked' WHEN NEW.disabled_at IS NOT NULL THEN 'disabled'
         WHEN NEW.stopped_at IS NOT NULL THEN 'stopped' ELSE 'usable' END);
  RETURN NULL;
END $$;
