package billingtest

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"tallyroute/billing"
)

// mutation is one corruption of a correct ledger, and the law that must report it, with the
// place of the corruption.
type mutation struct{ sql, law, where string }

// Mutations corrupts every kind of row and every counter in turn, and expects the integrity
// check to report each. exec runs a statement that both databases understand on a
// connection without any triggers or constraints.
func Mutations(t *testing.T, s billing.Store, exec func(sql string) error) {
	w := &world{T: t, Store: s, now: noon(), ids: new(atomic.Int64)}
	w.fillBooks()
	do := func(sql string) {
		t.Helper()
		if err := exec(sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	for _, sql := range leaseSQL() {
		do(sql)
	}
	w.wantProved()
	for _, table := range mutated() {
		do("CREATE TABLE backup_" + table + " AS SELECT * FROM " + table)
	}
	for _, m := range mutations() {
		do(m.sql)
		w.wantNamed(m)
		table := tableOf(m.sql)
		do("DELETE FROM " + table)
		if table != "spend_rejects" { // which was empty
			do("INSERT INTO " + table + " SELECT * FROM backup_" + table)
		}
	}
	w.wantProved()
}

func mutated() []string {
	return []string{
		"spend_events", "spend_daily", "spend_archived", "budget_counters", "holds", "leases", "billing_periods",
		"spend_rejects", "spend_breakdowns",
	}
}

func tableOf(sql string) string {
	for _, word := range strings.Fields(sql) {
		for _, table := range mutated() {
			if word == table {
				return table
			}
		}
	}
	return ""
}

// wantNamed expects the law to be broken, with its first breach in the table.
func (w *world) wantNamed(m mutation) {
	w.Helper()
	r := w.integrity(billing.IntegrityOptions{Now: w.now, Digests: true})
	if r.Breaches == 0 {
		w.Errorf("not noticed: %s", m.sql)
		return
	}
	for _, l := range r.Laws {
		if l.Name != m.law {
			continue
		}
		if l.Breaches == 0 {
			w.Errorf("%s\nbreaks not %s, but %s", m.sql, m.law, r.First)
		} else if !strings.Contains(l.First.Where, m.where) || l.First.Expected == "" || l.First.Found == "" ||
			l.First.Expected == l.First.Found {
			w.Errorf("%s\nis named %q, which does not name %q", m.sql, l.First, m.where)
		}
		return
	}
	w.Errorf("no law %s", m.law)
}

// fillBooks creates an archived February, a closed March, and an open April with several
// attempts, adjustments, a credit and an open hold.
func (w *world) fillBooks() {
	k := w.key(amount{1_000_000, 1_000_000}.budget("bud_1"))
	at := april()
	w.use(k, amount{10, 5}, w.now.AddDate(0, -1, 0))
	w.use(k, amount{20, 6}, w.now)
	w.use(k, amount{30, 7}, at)
	h := w.holdAt(k, amount{60, 60}, at)
	_, err := w.Reserve(w.Context(), h, at)
	w.must(err)
	first, second := w.row(k, "req_two", amount{0, 0}, at), w.row(k, "req_two", amount{40, 9}, at)
	first.Final, first.Status, second.Attempt, second.Provider, second.OverrunTokens = false, billing.StatusError, 2, "demo-b", 3
	first.Tags, second.Tags = map[string]string{"feature": "a"}, map[string]string{"feature": "a", "other": "b"}
	_, err = w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{first, second}})
	w.must(err)
	w.close("2026-02", at)
	w.archive("2026-02", at)
	w.close("2026-03", at)
	r := repricing(billing.Price{ID: "price_2", Input: 1_000_000, Output: 1_000_000})
	r.From, r.To = at.AddDate(0, 0, -1), at.AddDate(0, 0, 1)
	w.reprice(r)
	credit, err := billing.Correction{Kind: billing.KindCredit, Amount: 2, Owner: k.Owner(), Reason: "r", Actor: "a", Occurred: at}.Spend()
	w.must(err)
	credit.RequestID = "req_credit"
	w.must(w.Correct(w.Context(), []billing.Spend{credit}))
	_, err = w.Reserve(w.Context(), w.holdAt(k, amount{11, 12}, at), at)
	w.must(err)
	w.breakDown()
}

func leaseSQL() []string {
	return []string{
		`INSERT INTO replicas (id, epoch, started_at, seen_at, expires_at) VALUES ('rep_1', 'one', '2026-04-02T09:00:00.000000000Z', ` +
			`'2026-04-02T09:00:00.000000000Z', '2026-04-02T09:05:00.000000000Z')`,
		`INSERT INTO leases (budget_id, window_start, replica_id, epoch, tokens, nano, busy_tokens, busy_nano)
		 SELECT budget_id, window_start, 'rep_1', 'one', 50, 40, 10, 5 FROM budget_counters WHERE held_tokens > 0`,
		`UPDATE budget_counters SET leased_tokens = 50, leased_nano = 40 WHERE held_tokens > 0`,
	}
}

func mutations() []mutation {
	all := eventMutations()
	all = append(all, rollupMutations()...)
	all = append(all, breakdownMutations()...)
	return append(all, counterMutations()...)
}

func eventMutations() (all []mutation) {
	const second = " WHERE request_id = 'req_two' AND attempt = 2 AND kind = 'usage'"
	set := func(change, law, where string) {
		all = append(all, mutation{"UPDATE spend_events SET " + change + second, law, where})
	}
	for _, c := range []string{
		"cost_nano", "input_cost_nano", "cache_read_cost_nano", "cache_write_cost_nano", "output_cost_nano",
		"fee_nano",
	} {
		set(c+" = "+c+" + 1", "rows", "req_two")
	}
	set("pricing = 'unpriced'", "rows", "req_two")
	set("cost_nano = NULL", "rows", "req_two")
	set("cost_nano = 10, input_cost_nano = 10", "rollup", "demo-b")
	set("cost_nano = 10, input_cost_nano = 10", "counters", "bud_1")
	set("cost_nano = 10, input_cost_nano = 10", "keys", "key_")
	set("reasoning_tokens = -1", "rows", "req_two")
	for _, c := range []string{"input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens"} {
		set(c+" = "+c+" + 1", "rollup", "demo-b")
		set(c+" = "+c+" + 1", "counters", "bud_1")
		set(c+" = "+c+" + 1", "keys", "key_")
	}
	for _, c := range []string{"overrun_tokens", "overrun_nano", "baseline_cost_nano"} {
		set(c+" = "+c+" + 1", "rollup", "demo-b")
	}
	for _, c := range []string{"project_id", "team_id", "cost_center", "environment", "provider", "model", "price_id"} {
		set(c+" = 'other'", "rollup", "key_")
	}
	set("key_id = 'other'", "keys", "spend_daily: key")
	set("key_id = 'other'", "counters", "bud_1")
	set("pricing = 'free'", "rollup", "demo-b")
	set("usage_source = 'bounded'", "rollup", "demo-b")
	set("status = 'error'", "rollup", "demo-b")
	set("kind = 'fee', reason = 'r', actor = 'a'", "rollup", "demo-b")
	set("report_day = '2026-04-03'", "rollup", "2026-04-0")
	set("attempt = 1, report_day = '2026-03-20'", "attempts", "req_two")
	set("occurred_at = '2026-05-02T09:00:00.000000000Z'", "counters", "bud_1")
	set("attempt = 3", "attempts", "req_two")
	set("attempt = 1", "attempts", "req_two")
	set("attempt = 0", "attempts", "req_two")
	set("final = NOT final", "attempts", "req_two")
	set("request_id = 'req_three'", "attempts", "req_")
	for _, sql := range []struct{ sql, law, where string }{
		{"DELETE FROM spend_events" + second, "rollup", "demo-b"},
		{"DELETE FROM spend_events" + second, "attempts", "req_two"},
		{
			"UPDATE spend_events SET final = NOT final WHERE request_id = 'req_two' AND attempt = 1 AND kind = 'usage'", "attempts",
			"req_two",
		},
		{"UPDATE spend_events SET cost_nano = cost_nano - 1, fee_nano = fee_nano - 1 WHERE kind = 'adjustment' AND request_id = " +
			"'req_two' AND attempt = 2", "counters", "bud_1"},
		{
			"UPDATE spend_events SET cost_nano = cost_nano - 1 WHERE kind = 'adjustment' AND request_id = 'req_two' AND " +
				"attempt = 2", "rows",
			"req_two",
		},
		{"UPDATE spend_events SET cost_nano = -3, fee_nano = -3 WHERE request_id = 'req_credit'", "rollup", "credit"},
		{"UPDATE spend_events SET reason = '' WHERE request_id = 'req_credit'", "rows", "req_credit"},
		{"UPDATE spend_events SET actor = NULL WHERE request_id = 'req_credit'", "rows", "req_credit"},
		{"DELETE FROM spend_events WHERE request_id = 'req_credit'", "rollup", "credit"},
		{"UPDATE spend_events SET end_user = 'somebody' WHERE report_day = '2026-03-14'", "months", "rows of 2026-03"},
		{"UPDATE spend_events SET requested_model = 'gift' WHERE report_day = '2026-03-14'", "months", "rows of 2026-03"},
		{"DELETE FROM spend_events WHERE report_day = '2026-03-14'", "closed", "month 2026-03"},
	} {
		all = append(all, mutation(sql))
	}
	return all
}

func rollupMutations() (all []mutation) {
	for _, c := range []string{
		"requests", "attempts", "errors", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "overrun_tokens",
		"overrun_nano",
		"input_cost_nano", "cache_read_cost_nano", "cache_write_cost_nano", "output_cost_nano", "fee_nano", "cost_nano",
		"baseline_cost_nano",
	} {
		all = append(all,
			mutation{"UPDATE spend_daily SET " + c + " = " + c + " + 1 WHERE provider = 'demo-b' AND kind = 'usage'", "rollup", "demo-b"},
			mutation{"UPDATE spend_daily SET " + c + " = " + c + " + 1 WHERE month = '2026-02'", "months", "rollup of 2026-02"})
	}
	all = append(all, mutation{
		"UPDATE spend_daily SET cache_savings_nano = cache_savings_nano + 1 WHERE provider = 'demo-b' AND kind = 'usage'",
		"rollup", "demo-b",
	})
	for _, c := range []string{
		"team_id", "project_id", "key_id", "cost_center", "environment", "provider", "model", "kind", "pricing",
		"usage_source", "price_id",
	} {
		all = append(all, mutation{
			"UPDATE spend_daily SET " + c + " = 'other' WHERE provider = 'demo-b' AND kind = 'usage'", "rollup",
			"spend_daily",
		})
	}
	return append(all, []mutation{
		{"UPDATE spend_daily SET month = '2026-05' WHERE provider = 'demo-b'", "rollup", "2026-04-02"},
		{"UPDATE spend_daily SET report_day = '2026-04-05' WHERE provider = 'demo-b' AND kind = 'usage'", "rollup", "demo-b"},
		{"UPDATE spend_daily SET input_tokens = input_tokens + 1 WHERE provider = 'demo-b'", "keys", "key_"},
		{"UPDATE spend_daily SET attempts = -1 WHERE provider = 'demo-b'", "signs", "spend_daily"},
		{"DELETE FROM spend_daily WHERE provider = 'demo-b'", "rollup", "demo-b"},
		{"DELETE FROM spend_daily WHERE month = '2026-02'", "archive", "month 2026-02"},
		{"UPDATE spend_archived SET events = events + 1", "archive", "month 2026-02"},
		{"UPDATE spend_archived SET tokens = tokens + 1", "archive", "month 2026-02"},
		{"UPDATE spend_archived SET nano = nano + 1", "archive", "month 2026-02"},
		{"UPDATE spend_archived SET key_id = 'other'", "keys", "spend_daily: key"},
		{"UPDATE spend_archived SET slot = '2026-03-20T00:00:00.000000000Z'", "counters", "bud_1"},
		{"UPDATE spend_archived SET report_day = '2026-03-20'", "archive", "month 2026-0"},
		{"DELETE FROM spend_archived", "archive", "month 2026-02"},
		{"UPDATE billing_periods SET ledger_nano = ledger_nano + 1 WHERE period = '2026-03-01'", "closed", "month 2026-03"},
		{"UPDATE billing_periods SET ledger_rows = ledger_rows + 1 WHERE period = '2026-03-01'", "closed", "month 2026-03"},
		{"UPDATE billing_periods SET ledger_sha256 = 'feed' WHERE period = '2026-03-01'", "months", "rows of 2026-03"},
		{"UPDATE billing_periods SET ledger_sha256 = NULL WHERE period = '2026-03-01'", "months", "rows of 2026-03"},
		{"UPDATE billing_periods SET ledger_nano = ledger_nano + 1 WHERE period = '2026-02-01'", "archive", "month 2026-02"},
		{"UPDATE billing_periods SET rollup_sha256 = 'feed' WHERE period = '2026-02-01'", "months", "rollup of 2026-02"},
		{"UPDATE billing_periods SET archived_at = NULL WHERE period = '2026-02-01'", "archive", "month 2026-02"},
		{"DELETE FROM billing_periods WHERE period = '2026-02-01'", "archive", "month 2026-02"},
	}...)
}

func breakdownMutations() (all []mutation) {
	const put = "UPDATE spend_breakdowns SET data = (SELECT o.data FROM spend_breakdowns o " +
		"WHERE o.report_day = spend_breakdowns.report_day AND o.part = spend_breakdowns.part AND o.name = '%s') " +
		"WHERE report_day = '2026-04-02' AND name = '%s'"
	for _, c := range []string{
		"ledger_rows", "requests", "attempts", "input_tokens", "input_cost_nano", "output_cost_nano", "cost_nano", "baseline_cost_nano",
	} {
		all = append(all, mutation{fmt.Sprintf(put, "overrun_nano", c), "breakdowns", "2026-04-02"})
	}
	return append(all, []mutation{
		{fmt.Sprintf(put, "cost_nano", "cache_savings_nano"), "breakdowns", "2026-04-02"},
		{fmt.Sprintf(put, "environment", "team_id"), "breakdowns", "2026-04-02"},
		{fmt.Sprintf(put, "daily.overrun_nano", "daily.cost_nano"), "breakdowns", "2026-04-02"},
		{fmt.Sprintf(put, "session", "status"), "values", "2026-04-02, status"},
		{fmt.Sprintf(put, "environment", "end_user"), "values", "2026-04-02, end_user"},
		{fmt.Sprintf(put, "cost_nano", "model"), "breakdowns", "2026-04-02"},
		{"DELETE FROM spend_breakdowns WHERE report_day = '2026-04-02'", "breakdowns", "2026-04-02"},
		{"DELETE FROM spend_breakdowns WHERE report_day = '2026-04-02' AND name = 'tags'", "breakdowns", "2026-04-02"},
	}...)
}

func counterMutations() (all []mutation) {
	for c, law := range map[string]string{
		"used_tokens": "counters", "used_nano": "counters", "held_tokens": "holds", "held_nano": "holds", "leased_tokens": "leases",
		"leased_nano": "leases",
	} {
		all = append(all, mutation{"UPDATE budget_counters SET " + c + " = " + c + " + 1 WHERE held_tokens > 0", law, "bud_1"})
		if law != "counters" {
			all = append(all, mutation{"UPDATE budget_counters SET " + c + " = -1 WHERE held_tokens > 0", "signs", "bud_1"})
		}
	}
	return append(all, []mutation{
		{"DELETE FROM budget_counters WHERE held_tokens > 0", "holds", "bud_1"},
		{"UPDATE budget_counters SET window_end = '2026-04-02T08:00:00.000000000Z' WHERE held_tokens > 0", "counters", "bud_1"},
		{"UPDATE budget_counters SET window_start = '2026-04-02T10:00:00.000000000Z' WHERE held_tokens > 0", "holds", "bud_1"},
		{"UPDATE holds SET tokens = tokens + 1", "holds", "bud_1"},
		{"UPDATE holds SET nano = nano - 1", "holds", "bud_1"},
		{"UPDATE holds SET nano = -1", "signs", "holds"},
		{"DELETE FROM holds", "holds", "bud_1"},
		{"UPDATE leases SET tokens = tokens + 1", "leases", "bud_1"},
		{"UPDATE leases SET nano = nano + 1", "leases", "bud_1"},
		{"UPDATE leases SET busy_tokens = tokens + 1", "leases", "rep_1"},
		{"UPDATE leases SET busy_nano = nano + 1", "leases", "rep_1"},
		{"UPDATE leases SET busy_nano = -1", "signs", "rep_1"},
		{"DELETE FROM leases", "leases", "bud_1"},
		{"INSERT INTO spend_rejects (request_id, attempt, reason, spend, rejected_at) VALUES ('req_bad', 1, 'poison', '', " +
			"'2026-04-02T09:00:00.000000000Z')", "rejects", "req_bad"},
	}...)
}
