package integrity

import (
	"strings"

	"tallyroute/billing"
)

// RowValues are what rows e of spend_events have of the dimensions that there are breakdowns
// by, in the SQL of both databases; t is a tag.
var RowValues = map[billing.Dimension]string{ //nolint:gosec // names of columns, no secrets
	"requested_model": "e.requested_model",
	"service_tier":    "e.service_tier",
	"status":          "e.status",
	"end_user":        "coalesce(e.end_user, '(none)')",
	"session":         "coalesce(e.session, '(none)')",
	"credential":      "coalesce(e.upstream_credential, '(none)')",
	"region":          "coalesce(e.region, '(none)')",
	billing.AllTags:   "CAST(t.value AS text)",
}

// wholeSQL are the breakdowns that reports read: those of days that have no other rows.
const wholeSQL = `
WITH whole AS MATERIALIZED (
  SELECT b.dimension, b.report_day
    FROM breakdown_days b
    JOIN (SELECT report_day, sum(ledger_rows) AS ledger_rows FROM spend_daily GROUP BY report_day) AS d
      ON d.report_day = b.report_day AND d.ledger_rows = b.ledger_rows
   WHERE b.kept
)`

// The laws of breakdowns add both sides up in one pass, because SQLite compares every line
// with every line where neither side is a table.

// breakdownSumsSQL compares the lines of breakdowns, without their values, with the rollup.
// Tags are not in it: a row has any number of them.
func breakdownSumsSQL() string {
	by := strings.Join(grain[1:len(grain)-1], ", ") // no day, which is named, nor price
	var daily, lines, sums []string
	for _, c := range rollupSums() {
		daily = append(daily, c+" AS d_"+c+", 0 AS l_"+c)
		lines = append(lines, "0 AS d_"+c+", "+c+" AS l_"+c)
		sums = append(sums, "sum(d_"+c+") AS d_"+c+", sum(l_"+c+") AS l_"+c)
	}
	differ, expected, found := differences("d_", "l_")
	return wholeSQL + `
SELECT 'spend_breakdowns: by ' || dimension || ' of ' || CAST(report_day AS text) || ', key ' || key_id,
       ` + expected + `,
       ` + found + `
  FROM (
    SELECT dimension, report_day, ` + by + `, ` + strings.Join(sums, ", ") + `
      FROM (
        SELECT w.dimension, d.report_day, ` + by + `, ` + strings.Join(daily, ", ") + `
          FROM whole w JOIN spend_daily d ON d.report_day = w.report_day
         WHERE w.dimension <> '` + string(billing.AllTags) + `'
        UNION ALL
        SELECT l.dimension, l.report_day, ` + by + `, ` + strings.Join(lines, ", ") + `
          FROM spend_breakdowns l
         WHERE (l.dimension, l.report_day) IN (SELECT dimension, report_day FROM whole)
      ) AS part
     GROUP BY dimension, report_day, ` + by + `
  ) AS sums
 WHERE ` + differ
}

// breakdownValuesSQL compares breakdowns with the rows, value by value.
func breakdownValuesSQL(d Dialect) string {
	const ofRows = "count(*) AS r_n, sum(" + allTokens + ") AS r_tokens, sum(coalesce(cost_nano, 0)) AS r_nano, " +
		"0 AS l_n, 0 AS l_tokens, 0 AS l_nano"
	var rows []string
	for _, by := range billing.BreakdownDimensions() {
		name, tags := "'"+string(by)+"'", ""
		if by == billing.AllTags {
			name, tags = "'"+billing.TagDimension+"' || t.key", d.Tags
		}
		rows = append(rows, `
        SELECT `+name+` AS dimension, e.report_day, `+RowValues[by]+` AS value, `+ofRows+`
          FROM whole w CROSS JOIN spend_events e`+tags+`
         WHERE w.dimension = '`+string(by)+`' AND e.report_day = w.report_day
         GROUP BY 1, 2, 3`)
	}
	return wholeSQL + `
SELECT 'spend_breakdowns: ' || dimension || ' ' || value || ' of ' || CAST(report_day AS text),
       r_n || ' rows, ' || r_tokens || ' tokens and ' || r_nano || ' nano-dollars',
       l_n || ' rows, ' || l_tokens || ' tokens and ' || l_nano || ' nano-dollars'
  FROM (
    SELECT dimension, report_day, value, sum(r_n) AS r_n, sum(r_tokens) AS r_tokens, sum(r_nano) AS r_nano,
           sum(l_n) AS l_n, sum(l_tokens) AS l_tokens, sum(l_nano) AS l_nano
      FROM (` + strings.Join(rows, "\n        UNION ALL") + `
        UNION ALL
        SELECT l.dimension, l.report_day, l.value, 0, 0, 0, l.ledger_rows, ` + allTokens + `, l.cost_nano
          FROM spend_breakdowns l
         WHERE CASE WHEN l.dimension LIKE '` + billing.TagDimension + `%'
                    THEN l.report_day IN (SELECT report_day FROM whole WHERE dimension = '` + string(billing.AllTags) + `')
                    ELSE (l.dimension, l.report_day) IN (SELECT dimension, report_day FROM whole) END
           AND substr(CAST(l.report_day AS text), 1, 7) NOT IN ` + archived + `
      ) AS part
     GROUP BY dimension, report_day, value
  ) AS sums
 WHERE r_n <> l_n OR r_tokens <> l_tokens OR r_nano <> l_nano`
}
