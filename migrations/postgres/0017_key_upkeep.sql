-- Keys that are made once under a name, secrets that are delivered by themselves, and
-- who used which key from where.

ALTER TABLE api_keys
  ADD COLUMN once      text, -- hash of the Idempotency-Key that made it
  ADD COLUMN once_body text; -- and of what was asked for
CREATE UNIQUE INDEX api_keys_once ON api_keys (once) WHERE once IS NOT NULL;
CREATE INDEX api_keys_expiring ON api_keys (expires_at) WHERE revoked_at IS NULL AND expires_at IS NOT NULL;

-- Where the secret of a key is delivered whenever it is new. seed is of the secret that
-- is being delivered: it is drawn before anything else is done and cleared at the end,
-- so that whoever goes on after a crash comes to the same secret.
CREATE TABLE key_sinks (
  key_id       text PRIMARY KEY REFERENCES api_keys ON DELETE RESTRICT,
  sink         text NOT NULL CHECK (sink <> ''), -- its name in the configuration
  place        text NOT NULL,                    -- within it
  overlap_s    bigint NOT NULL CHECK (overlap_s >= 0),
  removing     boolean NOT NULL DEFAULT false,   -- the copy is to be deleted
  seed         text,
  claimed_till timestamptz,
  due_at       timestamptz,                      -- not before, after a failure
  failures     integer NOT NULL DEFAULT 0,
  failure      text NOT NULL DEFAULT '',
  delivered_at timestamptz
);

-- One row for each request to the public listener. It is a record of access and not of
-- spend: days are dropped whole, and rows may be erased.
CREATE TABLE access_log (
  at         timestamptz NOT NULL,
  request_id text NOT NULL,
  key_id     text NOT NULL DEFAULT '', -- '' where nobody's key was sent
  version    integer NOT NULL DEFAULT 0,
  address    text NOT NULL,
  user_agent text NOT NULL,
  endpoint   text NOT NULL,
  decision   text NOT NULL, -- allowed, or the code of the error
  status     integer NOT NULL,
  bytes_in   bigint NOT NULL,
  bytes_out  bigint NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX access_log_key ON access_log (key_id, at);

-- access_log_day makes the partition of a day, in UTC, unless it is there.
CREATE FUNCTION access_log_day(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  part text := 'access_log_' || to_char(day, 'YYYYMMDD');
BEGIN
  IF to_regclass(part) IS NOT NULL THEN
    RETURN;
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext('access_log'));
  EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF access_log FOR VALUES FROM (%L) TO (%L)',
    part, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
END $$;

-- access_log_drop drops the days that have ended before an instant.
CREATE FUNCTION access_log_drop(before timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  part text;
  n integer := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('access_log'));
  FOR part IN
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'access_log'::regclass
       AND to_date(right(c.relname, 8), 'YYYYMMDD') + 1 <= (before AT TIME ZONE 'UTC')::date
  LOOP
    EXECUTE format('DROP TABLE %I', part);
    n := n + 1;
  END LOOP;
  RETURN n;
END $$;
