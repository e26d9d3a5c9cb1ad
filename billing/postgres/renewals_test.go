package postgres_test

import (
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
)

// TestRenewalsAreCheap renews with $LEASES leased budgets and ten times as many
// windows, some of which are wanted: no table is scanned in full, and a renewal
// takes 20 ms at most.
func TestRenewalsAreCheap(t *testing.T) {
	leases := prove.Size(t, "LEASES", 2_000)
	s, dsn := open(t, patient)
	c := raw(t, dsn)
	me := billing.Replica{ID: "rep_1", Epoch: "epoch", TTL: time.Minute}
	if _, err := s.Renew(t.Context(), me, billing.Joining); err != nil {
		t.Fatal(err)
	}
	exec(t, c, `INSERT INTO budgets (id, scope, scope_id, period, token_limit) SELECT 'bud_' || n, 'key', 'key_' || n, 'day', 1000000 `+
		`FROM generate_series(1, $1::int) AS n`, leases)
	exec(t, c, `INSERT INTO budget_counters (budget_id, window_start, window_end, leased_tokens)
		SELECT 'bud_' || n, date_trunc('day', now()) - d * interval '1 day', date_trunc('day', now()) - (d - 1) * interval '1 day',
		  CASE d WHEN 0 THEN 100 ELSE 0 END
		  FROM generate_series(1, $1::int) AS n, generate_series(0, 9) AS d`, leases)
	exec(t, c, `INSERT INTO leases (budget_id, window_start, replica_id, epoch, tokens)
		SELECT 'bud_' || n, date_trunc('day', now()), 'rep_1', 'epoch', 100 FROM generate_series(1, $1::int) AS n`, leases)
	exec(t, c, `UPDATE budget_counters SET exact_until = now() - interval '1 hour' WHERE budget_id IN (SELECT 'bud_' || n FROM `+
		`generate_series(1, $1::int, 2) AS n)`, leases)
	exec(t, c, `ANALYZE`)

	seen := func() int {
		exec(t, c, "SELECT pg_stat_clear_snapshot()")
		return get[int](t, c, "SELECT coalesce(sum(seq_tup_read), 0)::bigint FROM pg_stat_user_tables WHERE relname IN ('leases', "+
			"'budget_counters')")
	}
	settled := func() (n int) {
		prove.Eventually(t, "the statistics are told", func() bool {
			before := n
			<-time.After(1200 * time.Millisecond) // a backend reports its statistics once a second
			n = seen()
			return n == before
		})
		return n
	}
	renew := func(wanted int) {
		best := time.Hour
		for range 20 {
			began := time.Now()
			h, err := s.Renew(t.Context(), me, billing.Staying)
			best = min(best, time.Since(began))
			if err != nil || len(h.Exact) != wanted || h.Fenced {
				t.Fatalf("%d are wanted, fenced %t, %v", len(h.Exact), h.Fenced, err)
			}
		}
		t.Logf("%d leases, %d wanted: %s", leases, wanted, best)
		prove.Within(t, "a renewal", best, 20*time.Millisecond)
	}
	renew(0)
	exec(t, c, `UPDATE budget_counters SET exact_until = now() + interval '1 hour' WHERE window_end > now() AND budget_id IN (SELECT `+
		`'bud_' || n FROM generate_series(1, 50) AS n)`)
	updated := settled()
	renew(50)
	if read := settled() - updated; read > 0 {
		t.Errorf("%d rows were read one after the other", read)
	}
}
