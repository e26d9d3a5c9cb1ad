package postgres_test

import (
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
)

// TestUpdatesLeaveNoBloat checks that the tables and their indexes hardly grow after the
// first tenth of $UPDATES postings, each of which updates a hundred counters and as many
// leases. A busy hour has 36,000 postings. Updated rows stay on their page.
func TestUpdatesLeaveNoBloat(t *testing.T) {
	const budgets, atOnce = 200, 100
	postings := prove.Size(t, "UPDATES", 300)
	s, dsn := open(t, patient)
	c := raw(t, dsn)
	me := billing.Replica{ID: "rep_1", Epoch: "epoch", TTL: time.Hour}
	if _, err := s.Renew(t.Context(), me, billing.Joining); err != nil {
		t.Fatal(err)
	}
	exec(t, c, `INSERT INTO budgets (id, scope, scope_id, period, token_limit)
		SELECT 'bud_' || n, 'key', 'key_' || n, 'day', 1000000000000 FROM generate_series(1, $1::int) AS n`, budgets)
	exec(t, c, `INSERT INTO budget_counters (budget_id, window_start, window_end, leased_tokens)
		SELECT 'bud_' || n, date_trunc('day', now()), date_trunc('day', now()) + interval '1 day', 1000000000
		  FROM generate_series(1, $1::int) AS n`, budgets)
	exec(t, c, `INSERT INTO leases (budget_id, window_start, replica_id, epoch, tokens)
		SELECT 'bud_' || n, date_trunc('day', now()), 'rep_1', 'epoch', 1000000000 FROM generate_series(1, $1::int) AS n`, budgets)
	start := get[time.Time](t, c, "SELECT date_trunc('day', now())")
	ids := get[[]string](t, c, "SELECT array_agg(id ORDER BY id) FROM budgets")
	size := func() int64 {
		return get[int64](t, c, `SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
			WHERE relname IN ('budget_counters', 'leases', 'replicas') AND relkind = 'r'`)
	}
	var early int64
	for n := range postings {
		p := billing.Posting{Replica: me, Seq: int64(n + 1)}
		for i := range atOnce {
			p.Leases = append(p.Leases, billing.LeaseChange{
				BudgetID: ids[(n*37+i)%budgets], WindowStart: start,
				Down: billing.Amount{Tokens: 1}, Busy: billing.Amount{Tokens: int64(n)},
			})
		}
		if posted, err := s.Post(t.Context(), p); err != nil || posted.Fenced {
			t.Fatalf("%+v, %v", posted, err)
		}
		if n == postings/10 {
			early = size()
		}
	}
	late := size()
	stayed := get[string](t, c, `
		SELECT string_agg(relname || ': ' || n_tup_hot_upd || ' of ' || n_tup_upd || ' on their page, ' || n_dead_tup || ' dead', ', ')
		  FROM pg_stat_user_tables WHERE relname IN ('budget_counters', 'leases', 'replicas')`)
	t.Logf("%d updates of counters and as many of leases: %d KiB after a tenth of them, %d KiB in the end; %s",
		postings*atOnce, early>>10, late>>10, stayed)
	if late > early*3/2+64<<10 {
		t.Errorf("%d KiB have become %d", early>>10, late>>10)
	}
}
