-- Renewals look only for the windows that somebody wants, however many are
-- leased and however many there ever were.
CREATE INDEX budget_counters_wanted ON budget_counters (exact_until) WHERE exact_until > '-infinity';

-- Windows that ended long ago are thrown away: what was used in them is in the
-- ledger, and a row that is late makes its window anew.
CREATE INDEX budget_counters_over ON budget_counters (window_end) WHERE window_end < 'infinity';
