-- What keeps the ledger honest whoever writes to it: append-only rows, closed
-- periods and the daily rollup.

CREATE TRIGGER spend_no_update BEFORE UPDATE ON spend_events
BEGIN
  SELECT RAISE(ABORT, 'spend_events is append-only: post an adjustment instead');
END;

CREATE TRIGGER spend_no_delete BEFORE DELETE ON spend_events
BEGIN
  SELECT RAISE(ABORT, 'spend_events is append-only: post an adjustment instead');
END;

-- INSERT OR REPLACE deletes the old row without asking the trigger above,
-- unless recursive triggers are on, so a row that is there is refused here.
CREATE TRIGGER spend_no_replace BEFORE INSERT ON spend_events
WHEN EXISTS (SELECT 1 FROM spend_events WHERE event_id = NEW.event_id)
  OR NEW.kind = 'usage' AND EXISTS (
    SELECT 1 FROM spend_events WHERE kind = 'usage' AND request_id = NEW.request_id AND attempt = NEW.attempt)
BEGIN
  SELECT RAISE(ABORT, 'spend_events is append-only: this attempt is already there');
END;

CREATE TRIGGER spend_open_period BEFORE INSERT ON spend_events
WHEN EXISTS (SELECT 1 FROM billing_periods WHERE period = substr(NEW.report_day, 1, 7) || '-01' AND status = 'closed')
BEGIN
  SELECT RAISE(ABORT, 'billing period is closed: post the correction to an open period with adjusts_period');
END;

-- An attempt without a price adds neither cost nor baseline: what it cost is
-- unknown, so what it saved is unknown too.
CREATE TRIGGER spend_post_daily AFTER INSERT ON spend_events
BEGIN
  INSERT INTO spend_daily (
    report_day, month, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source, price_id,
    requests, attempts, errors, input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, overrun_tokens,
    input_cost_nano, cache_read_cost_nano, cache_write_cost_nano, output_cost_nano, fee_nano, cost_nano, baseline_cost_nano)
  VALUES (
    NEW.report_day, substr(NEW.report_day, 1, 7), NEW.team_id, NEW.project_id, NEW.key_id, NEW.cost_center, NEW.environment,
    NEW.provider, NEW.model, NEW.kind, NEW.pricing, NEW.usage_source, coalesce(NEW.price_id, ''),
    NEW.kind = 'usage' AND NEW.final, NEW.kind = 'usage', NEW.kind = 'usage' AND NEW.status <> 'ok',
    NEW.input_tokens, NEW.cache_read_tokens, NEW.cache_write_tokens, NEW.output_tokens, NEW.overrun_tokens,
    coalesce(NEW.input_cost_nano, 0), coalesce(NEW.cache_read_cost_nano, 0), coalesce(NEW.cache_write_cost_nano, 0),
    coalesce(NEW.output_cost_nano, 0), coalesce(NEW.fee_nano, 0), coalesce(NEW.cost_nano, 0),
    CASE WHEN NEW.pricing = 'unpriced' THEN 0 ELSE coalesce(NEW.baseline_cost_nano, NEW.cost_nano) END)
  ON CONFLICT (report_day, team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source, price_id)
  DO UPDATE SET
    requests = requests + excluded.requests,
    attempts = attempts + excluded.attempts,
    errors = errors + excluded.errors,
    input_tokens = input_tokens + excluded.input_tokens,
    cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens,
    cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens,
    output_tokens = output_tokens + excluded.output_tokens,
    overrun_tokens = overrun_tokens + excluded.overrun_tokens,
    input_cost_nano = input_cost_nano + excluded.input_cost_nano,
    cache_read_cost_nano = cache_read_cost_nano + excluded.cache_read_cost_nano,
    cache_write_cost_nano = cache_write_cost_nano + excluded.cache_write_cost_nano,
    output_cost_nano = output_cost_nano + excluded.output_cost_nano,
    fee_nano = fee_nano + excluded.fee_nano,
    cost_nano = cost_nano + excluded.cost_nano,
    baseline_cost_nano = baseline_cost_nano + excluded.baseline_cost_nano;
END;
