package integrity

import (
	"strings"

	"tallyroute/billing"
)

// law is an invariant, checked by a statement that both databases understand. Each row
// it returns is a breach: where, what was expected and what was found.
type law struct {
	name, says, sql string
}

// grain lists the columns that the rollup groups by; sums lists the columns it adds up.
var (
	grain = []string{
		"report_day", "team_id", "project_id", "key_id", "cost_center", "environment",
		"provider", "model", "kind", "pricing", "usage_source", "price_id",
	}
	sums = []string{
		"requests", "attempts", "errors", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "overrun_tokens",
		"overrun_nano",
		"input_cost_nano", "cache_read_cost_nano", "cache_write_cost_nano", "output_cost_nano", "fee_nano", "cost_nano",
		"baseline_cost_nano",
	}
)

const (
	allTokens = "input_tokens + cache_read_tokens + cache_write_tokens + output_tokens" //nolint:gosec // of a prompt and its answer
	allMeters = "coalesce(input_cost_nano, 0) + coalesce(cache_read_cost_nano, 0) + coalesce(cache_write_cost_nano, 0)" +
		" + coalesce(output_cost_nano, 0) + coalesce(fee_nano, 0)"
	archived = "(SELECT substr(CAST(period AS text), 1, 7) FROM billing_periods WHERE archived_at IS NOT NULL)"
)

func laws(d Dialect) []law {
	return []law{
		{name: "rows", says: "the cost of a row is the sum of its meters, and nothing is negative that cannot be", sql: rowsSQL},
		{name: "attempts", says: "the attempts of a request are 1 to n, each there once, and the last alone is final", sql: attemptsSQL},
		{name: "rejects", says: "every attempt found its place in the ledger, and none waits to be booked", sql: rejectsSQL},
		{name: "rollup", says: "the rollup is the sum of the rows", sql: rollupSQL(d)},
		{name: "keys", says: "what a key has used is the same by the rows and by the rollup", sql: keysSQL},
		{name: "archive", says: "archived months have the rows, the cost and the tokens that they were closed with", sql: archiveSQL},
		{name: "closed", says: "closed months have the rows and the cost that they were closed with", sql: closedRowsSQL},
		{name: "holds", says: "what a counter holds is the sum of the open holds", sql: holdsSQL(d.HeldByWindow)},
		{
			name: "leases", says: "what a counter has leased is the sum of its leases, and no lease is busier than it is large",
			sql: leasesSQL,
		},
		{name: "signs", says: "nothing that is held, leased or counted is negative", sql: signsSQL},
	}
}

const rowsSQL = `
SELECT 'spend_events: row ' || CAST(event_id AS text) || ', attempt ' || attempt || ' of request ' || request_id,
       CASE WHEN pricing = 'unpriced' THEN 'no cost' ELSE 'a cost of ' || (` + allMeters + `) || ' nano-dollars, nothing negative' END,
       coalesce('a cost of ' || cost_nano || ' nano-dollars', 'no cost') || ', ' || (` + allTokens + `) || ' tokens'
  FROM spend_events
 WHERE (pricing = 'unpriced') <> (cost_nano IS NULL)
    OR kind = 'usage' AND pricing <> 'unpriced' AND cost_nano <> ` + allMeters + `
    OR kind = 'usage' AND (input_tokens < 0 OR cache_read_tokens < 0 OR cache_write_tokens < 0 OR output_tokens < 0
      OR reasoning_tokens < 0 OR cost_nano < 0)
    OR kind <> 'usage' AND (` + allMeters + ` NOT IN (0, coalesce(cost_nano, 0)) OR coalesce(reason, '') = '' OR coalesce(actor, '') = '')
    OR attempt < 1 OR overrun_tokens < 0`

const attemptsSQL = `
SELECT 'spend_events: request ' || request_id,
       'attempts 1 to ' || max(attempt) || ', each once, with attempt ' || max(attempt) || ' final',
       sum(n) || ' rows of ' || count(*) || ' attempts from ' || min(attempt) || ' to ' || max(attempt) || ', ' || sum(finals) || ' final'
  FROM (
    SELECT request_id, attempt, count(*) AS n, sum(CASE WHEN final THEN 1 ELSE 0 END) AS finals
      FROM spend_events WHERE kind = 'usage'
     GROUP BY request_id, attempt
  ) AS a
 GROUP BY request_id
HAVING sum(n) <> count(*) OR min(attempt) <> 1 OR max(attempt) <> count(*) OR sum(finals) <> 1
    OR max(CASE WHEN finals > 0 THEN attempt ELSE 0 END) <> max(attempt)`

const rejectsSQL = `
SELECT 'spend_rejects: attempt ' || attempt || ' of request ' || request_id, 'a row in spend_events', 'refused: ' || reason
  FROM spend_rejects WHERE booked_at IS NULL`

// rollupSums returns the columns that the rollup adds up, including those that digests leave
// out because they were added later.
func rollupSums() []string { return append([]string{"ledger_rows", "cache_savings_nano"}, sums...) }

// differences returns SQL that compares two sets of sums, each with its own column prefix:
// a condition that is true if any column differs, and for each set an expression that
// lists the values of the columns that do.
func differences(one, other string) (differ, expected, found string) {
	var conditions, ones, others []string
	for _, c := range rollupSums() {
		condition := "coalesce(" + one + c + ", -1) <> coalesce(" + other + c + ", -1)"
		say := func(set string) string {
			return "CASE WHEN " + condition + " THEN '" + c + " ' || coalesce(CAST(" + set + c +
				" AS text), 'of no row') || ' ' ELSE '' END"
		}
		conditions, ones, others = append(conditions, condition), append(ones, say(one)), append(others, say(other))
	}
	return strings.Join(conditions, " OR "), strings.Join(ones, " || "), strings.Join(others, " || ")
}

// rollupSQL compares the rollup with the ledger rows of every month that is not archived.
func rollupSQL(d Dialect) string {
	var selected []string
	for _, c := range rollupSums() {
		selected = append(selected, map[string]string{
			"ledger_rows":        "count(*)",
			"cache_savings_nano": "sum(" + d.Days.CacheSavings + ")",
			"requests":           "sum(CASE WHEN kind = 'usage' AND final THEN 1 ELSE 0 END)",
			"attempts":           "sum(CASE WHEN kind = 'usage' THEN 1 ELSE 0 END)",
			"errors":             "sum(CASE WHEN kind = 'usage' AND status <> 'ok' THEN 1 ELSE 0 END)",
			"baseline_cost_nano": "sum(CASE WHEN pricing = 'unpriced' THEN 0 ELSE coalesce(baseline_cost_nano, cost_nano, 0) END)",
		}[c])
		if last := len(selected) - 1; selected[last] == "" {
			selected[last] = "sum(coalesce(" + c + ", 0))"
		}
		selected[len(selected)-1] += " AS " + c
	}
	differ, expected, found := differences("r.", "d.")
	by := strings.Join(grain, ", ")
	return `
SELECT 'spend_daily: ' || CAST(report_day AS text) || ', key ' || key_id ||
         ', ' || kind || ' of ' || provider || ' ' || model || ', ' || pricing || ' ' || price_id,
       ` + expected + ` || CASE WHEN d.month <> substr(CAST(report_day AS text), 1, 7)
         THEN 'month ' || substr(CAST(report_day AS text), 1, 7) ELSE '' END,
       ` + found + ` || CASE WHEN d.month <> substr(CAST(report_day AS text), 1, 7) THEN 'month ' || d.month
         ELSE '' END
  FROM (
    SELECT ` + strings.Replace(by, "price_id", "coalesce(price_id, '') AS price_id", 1) + `, ` + strings.Join(selected, ", ") + `
      FROM spend_events e
     GROUP BY ` + strings.Replace(by, "price_id", "coalesce(price_id, '')", 1) + `
  ) AS r
  FULL JOIN (SELECT * FROM spend_daily WHERE substr(CAST(report_day AS text), 1, 7) NOT IN ` + archived + `) AS d USING (` + by + `)
 WHERE ` + differ + ` OR d.month <> substr(CAST(report_day AS text), 1, 7)`
}

const keysSQL = `
SELECT 'spend_daily: key ' || key_id,
       coalesce(r.tokens, 0) || ' tokens and ' || coalesce(r.nano, 0) || ' nano-dollars by the rows',
       coalesce(d.tokens, 0) || ' tokens and ' || coalesce(d.nano, 0) || ' nano-dollars by the rollup'
  FROM (SELECT key_id, sum(tokens) AS tokens, sum(coalesce(nano, 0)) AS nano FROM spend_moments GROUP BY key_id) AS r
  FULL JOIN (SELECT key_id, sum(` + allTokens + `) AS tokens, sum(cost_nano) AS nano FROM spend_daily GROUP BY key_id) AS d USING (key_id)
 WHERE coalesce(r.tokens, 0) <> coalesce(d.tokens, 0) OR coalesce(r.nano, 0) <> coalesce(d.nano, 0)`

const archiveSQL = `
SELECT 'spend_archived: month ' || p.month,
       p.ledger_rows || ' rows and ' || p.ledger_nano || ' nano-dollars, ' || coalesce(d.tokens, 0) || ' tokens, none left in spend_events',
       coalesce(a.events, 0) || ' rows and ' || coalesce(a.nano, 0) || ' nano-dollars, ' || coalesce(a.tokens, 0) || ' tokens; '
         || coalesce(d.nano, 0) || ' nano-dollars in spend_daily'
  FROM (SELECT substr(CAST(period AS text), 1, 7) AS month, coalesce(ledger_rows, -1) AS ledger_rows,
    coalesce(ledger_nano, -1) AS ledger_nano
          FROM billing_periods WHERE archived_at IS NOT NULL) AS p
  LEFT JOIN (SELECT substr(CAST(report_day AS text), 1, 7) AS month, sum(events) AS events, sum(tokens) AS tokens, sum(nano) AS nano
               FROM spend_archived GROUP BY 1) AS a ON a.month = p.month
  LEFT JOIN (SELECT substr(CAST(report_day AS text), 1, 7) AS month, sum(` + allTokens + `) AS tokens, sum(cost_nano) AS nano
               FROM spend_daily GROUP BY 1) AS d ON d.month = p.month
 WHERE coalesce(a.events, 0) <> p.ledger_rows OR coalesce(a.nano, 0) <> p.ledger_nano
    OR coalesce(d.nano, 0) <> p.ledger_nano OR coalesce(a.tokens, 0) <> coalesce(d.tokens, 0)
UNION ALL
SELECT 'spend_archived: month ' || month, 'an archived month', 'one that is not'
  FROM (SELECT substr(CAST(report_day AS text), 1, 7) AS month FROM spend_archived GROUP BY 1) AS a
 WHERE month NOT IN ` + archived

const closedRowsSQL = `
SELECT 'billing_periods: month ' || p.month,
       coalesce(e.events, 0) || ' rows and ' || coalesce(e.nano, 0) || ' nano-dollars',
       p.ledger_rows || ' rows and ' || p.ledger_nano || ' nano-dollars'
  FROM (SELECT substr(CAST(period AS text), 1, 7) AS month, coalesce(ledger_rows, -1) AS ledger_rows,
    coalesce(ledger_nano, -1) AS ledger_nano
          FROM billing_periods WHERE status = 'closed' AND archived_at IS NULL AND ledger_sha256 IS NOT NULL) AS p
  LEFT JOIN (SELECT substr(CAST(report_day AS text), 1, 7) AS month, count(*) AS events, coalesce(sum(cost_nano), 0) AS nano
               FROM spend_events GROUP BY 1) AS e ON e.month = p.month
 WHERE coalesce(e.events, 0) <> p.ledger_rows OR coalesce(e.nano, 0) <> p.ledger_nano`

func holdsSQL(held string) string {
	return `
SELECT 'budget_counters: held by budget ' || budget_id || ', window from ' || CAST(window_start AS text),
       coalesce(h.tokens, 0) || ' tokens, ' || coalesce(h.nano, 0) || ' nano-dollars and ' || coalesce(h.requests, 0) || ' requests',
       coalesce(c.held_tokens, 0) || ' tokens, ' || coalesce(c.held_nano, 0) || ' nano-dollars and '
         || coalesce(c.held_requests, 0) || ' requests'
  FROM budget_counters AS c
  FULL JOIN (SELECT budget_id, window_start, sum(tokens) AS tokens, sum(nano) AS nano, sum(requests) AS requests FROM (` + held + `) AS l
    GROUP BY budget_id, window_start) AS h
      USING (budget_id, window_start)
 WHERE coalesce(h.tokens, 0) <> coalesce(c.held_tokens, 0) OR coalesce(h.nano, 0) <> coalesce(c.held_nano, 0)
    OR coalesce(h.requests, 0) <> coalesce(c.held_requests, 0)`
}

const leasesSQL = `
SELECT 'budget_counters: leased from budget ' || budget_id || ', window from ' || CAST(window_start AS text),
       coalesce(l.tokens, 0) || ' tokens, ' || coalesce(l.nano, 0) || ' nano-dollars and ' || coalesce(l.requests, 0) || ' requests',
       coalesce(c.leased_tokens, 0) || ' tokens, ' || coalesce(c.leased_nano, 0) || ' nano-dollars and '
         || coalesce(c.leased_requests, 0) || ' requests'
  FROM budget_counters AS c
  FULL JOIN (SELECT budget_id, window_start, sum(tokens) AS tokens, sum(nano) AS nano, sum(requests) AS requests
    FROM leases GROUP BY budget_id, window_start) AS l
      USING (budget_id, window_start)
 WHERE coalesce(l.tokens, 0) <> coalesce(c.leased_tokens, 0) OR coalesce(l.nano, 0) <> coalesce(c.leased_nano, 0)
    OR coalesce(l.requests, 0) <> coalesce(c.leased_requests, 0)
UNION ALL
SELECT 'leases: of replica ' || replica_id || ' on budget ' || budget_id || ', window from ' || CAST(window_start AS text),
       'at least the ' || busy_tokens || ' tokens, ' || busy_nano || ' nano-dollars and ' || busy_requests || ' requests that are busy',
       tokens || ' tokens, ' || nano || ' nano-dollars and ' || requests || ' requests'
  FROM leases WHERE tokens < busy_tokens OR nano < busy_nano OR requests < busy_requests`

const signsSQL = `
SELECT 'budget_counters: budget ' || budget_id || ', window from ' || CAST(window_start AS text), 'nothing negative',
       'held ' || held_tokens || ' and ' || held_nano || ', leased ' || leased_tokens || ' and ' || leased_nano
  FROM budget_counters WHERE held_tokens < 0 OR held_nano < 0 OR leased_tokens < 0 OR leased_nano < 0
    OR held_requests < 0 OR leased_requests < 0
UNION ALL
SELECT 'leases: of replica ' || replica_id || ' on budget ' || budget_id, 'nothing negative',
       tokens || ' and ' || nano || ', busy ' || busy_tokens || ' and ' || busy_nano
  FROM leases WHERE tokens < 0 OR nano < 0 OR busy_tokens < 0 OR busy_nano < 0 OR requests < 0 OR busy_requests < 0
UNION ALL
SELECT 'holds: ' || id, 'nothing negative', tokens || ' and ' || nano FROM holds WHERE tokens < 0 OR nano < 0
UNION ALL
SELECT 'spend_daily: ' || CAST(report_day AS text) || ', key ' || key_id, 'nothing negative',
  requests || ' requests, ' || attempts || ' attempts, ' || errors || ' errors'
  FROM spend_daily WHERE requests < 0 OR attempts < 0 OR errors < 0`

// rollupLinesSQL returns each row of a month's rollup as one string. Columns added to the
// rollup later must stay out of it, so that existing digests remain valid.
func rollupLinesSQL(m billing.Month) string {
	var parts []string
	for _, c := range grain {
		parts = append(parts, "CAST("+c+" AS text)")
	}
	for _, c := range sums {
		parts = append(parts, "CAST("+c+" AS text)")
	}
	return "SELECT " + strings.Join(parts, " || '|' || ") + " FROM spend_daily WHERE month = '" + strings.ReplaceAll(string(m), "'",
		"''") + "'"
}
