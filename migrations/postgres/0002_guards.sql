-- What keeps the ledger honest whoever writes to it: append-only rows, closed
-- periods, the daily rollup, and one partition for each month of report_day.

CREATE FUNCTION spend_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'spend_events is append-only: post an adjustment instead' USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION spend_open_period() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  IF EXISTS (SELECT FROM billing_periods p
              WHERE p.period = date_trunc('month', NEW.report_day::timestamp)::date AND p.status = 'closed') THEN
    RAISE EXCEPTION 'billing period % is closed: post the correction to an open period with adjusts_period',
      to_char(NEW.report_day, 'YYYY-MM') USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;

-- Rows are posted in the order of the primary key, so that two writers that
-- post to the same days, keys and models never wait for each other in a circle.
-- An attempt without a price adds neither cost nor baseline: what it cost is
-- unknown, so what it saved is unknown too.
CREATE FUNCTION spend_post_daily() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO spend_daily AS d (
    report_day, month, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source, price_id,
    requests, attempts, errors, input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, overrun_tokens,
    input_cost_nano, cache_read_cost_nano, cache_write_cost_nano, output_cost_nano, fee_nano, cost_nano, baseline_cost_nano)
  SELECT report_day, to_char(report_day, 'YYYY-MM'), team_id, project_id, key_id, cost_center, environment,
         provider, model, kind, pricing, usage_source, coalesce(price_id, ''),
         count(*) FILTER (WHERE kind = 'usage' AND final), count(*) FILTER (WHERE kind = 'usage'),
         count(*) FILTER (WHERE kind = 'usage' AND status <> 'ok'),
         sum(input_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(output_tokens), sum(overrun_tokens),
         coalesce(sum(input_cost_nano), 0), coalesce(sum(cache_read_cost_nano), 0), coalesce(sum(cache_write_cost_nano), 0),
         coalesce(sum(output_cost_nano), 0), coalesce(sum(fee_nano), 0), coalesce(sum(cost_nano), 0),
         coalesce(sum(coalesce(baseline_cost_nano, cost_nano)) FILTER (WHERE pricing <> 'unpriced'), 0)
    FROM added
   GROUP BY report_day, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source, coalesce(price_id, '')
   ORDER BY report_day, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source, coalesce(price_id, '')
  ON CONFLICT (report_day, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source, price_id)
  DO UPDATE SET
    requests = d.requests + excluded.requests,
    attempts = d.attempts + excluded.attempts,
    errors = d.errors + excluded.errors,
    input_tokens = d.input_tokens + excluded.input_tokens,
    cache_read_tokens = d.cache_read_tokens + excluded.cache_read_tokens,
    cache_write_tokens = d.cache_write_tokens + excluded.cache_write_tokens,
    output_tokens = d.output_tokens + excluded.output_tokens,
    overrun_tokens = d.overrun_tokens + excluded.overrun_tokens,
    input_cost_nano = d.input_cost_nano + excluded.input_cost_nano,
    cache_read_cost_nano = d.cache_read_cost_nano + excluded.cache_read_cost_nano,
    cache_write_cost_nano = d.cache_write_cost_nano + excluded.cache_write_cost_nano,
    output_cost_nano = d.output_cost_nano + excluded.output_cost_nano,
    fee_nano = d.fee_nano + excluded.fee_nano,
    cost_nano = d.cost_nano + excluded.cost_nano,
    baseline_cost_nano = d.baseline_cost_nano + excluded.baseline_cost_nano;
  RETURN NULL;
END $$;

-- Triggers for each row reach every partition by themselves. Those for each
-- statement fire only on the table that the statement names, so a partition
-- gets its own copies: naming it directly gets round nothing.
CREATE FUNCTION spend_guard_statements(part regclass) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  EXECUTE format('CREATE TRIGGER spend_daily AFTER INSERT ON %s REFERENCING NEW TABLE AS added
                  FOR EACH STATEMENT EXECUTE FUNCTION spend_post_daily()', part);
  EXECUTE format('CREATE TRIGGER spend_not_truncated BEFORE TRUNCATE ON %s
                  FOR EACH STATEMENT EXECUTE FUNCTION spend_append_only()', part);
END $$;

CREATE TRIGGER spend_append_only BEFORE UPDATE OR DELETE ON spend_events
  FOR EACH ROW EXECUTE FUNCTION spend_append_only();
CREATE TRIGGER spend_open_period BEFORE INSERT ON spend_events
  FOR EACH ROW EXECUTE FUNCTION spend_open_period();
SELECT spend_guard_statements('spend_events');

-- Makes the partition that holds a day, if it is not there. The table is built
-- beside the ledger and then attached, which does not make writers wait.
CREATE FUNCTION spend_add_partition(day date) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  first date := date_trunc('month', day::timestamp)::date;
  part  text := 'spend_events_' || to_char(first, 'YYYY_MM');
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('tallyroute.partitions', 0));
  IF to_regclass(part) IS NOT NULL THEN
    RETURN;
  END IF;
  EXECUTE format('CREATE TABLE %I (LIKE spend_events INCLUDING ALL)', part);
  EXECUTE format('ALTER TABLE spend_events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                 part, first, (first + interval '1 month')::date);
  PERFORM spend_guard_statements(part::regclass);
END $$;

-- The previous month, this one and the next three. Called at every start.
CREATE FUNCTION spend_add_partitions() RETURNS void LANGUAGE sql SET search_path FROM CURRENT AS $$
  SELECT spend_add_partition((date_trunc('month', now() AT TIME ZONE 'UTC') + n * interval '1 month')::date)
    FROM generate_series(-1, 3) AS n;
$$;
